"""`python -m workbench.build`."""

import sys

from workbench.build.notebooks import main

sys.exit(main())
