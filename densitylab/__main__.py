"""`python -m densitylab`."""

import sys

from densitylab.cli import main

if __name__ == "__main__":
    sys.exit(main())
