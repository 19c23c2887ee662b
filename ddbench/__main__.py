"""`python -m ddbench` is the command line, the working folder left out of where modules are looked for."""

import sys

from ddbench.cli.main import main

sys.exit(main())
