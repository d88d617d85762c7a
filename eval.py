"""`mdmf eval`, for those who work in the repository: python eval.py --checkpoint=runs/demo ..."""

import sys

from mdmf_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
