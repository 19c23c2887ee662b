"""`python -m ddbench` is the command line."""

import sys

from ddbench.cli import main

sys.exit(main())
