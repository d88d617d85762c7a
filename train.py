"""`mdmf train`, for those who work in the repository: python train.py --config=demo ..."""

import sys

from mdmf_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
