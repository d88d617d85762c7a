"""`python -m mdmf_jax COMMAND`."""

import sys

from mdmf_jax.cli.main import main

sys.exit(main(sys.argv[1:]))
