"""`python -m ddbench` is the command line."""

import sys

from ddbench.cli.main import main

sys.exit(main())
