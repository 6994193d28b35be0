"""Run the command line as ``python -m medmint.cli``."""

import sys

from medmint.cli.main import main

sys.exit(main())
