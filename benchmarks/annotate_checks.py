"""How well `sama data annotate` finds a model's mistakes, as tables for docs/annotate.md.

python benchmarks/annotate_checks.py --clips 200 --seed 0
"""

import argparse
from typing import get_args

from sama_video.annotate.proof import Known, prove
from sama_video.data.synthetic.levels import SHAPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--known", choices=get_args(Known), nargs="*", default=get_args(Known))
    parser.add_argument("--exclusive", action="store_true", help="tell the checks that shapes exclude each other")
    parser.add_argument("--agreement", type=int, default=0, metavar="CLIPS", help="ask a model about so many clips too")
    parser.add_argument("--model", default="nano")
    given = parser.parse_args()
    labels = SHAPES if given.exclusive else ()
    for known in given.known:
        print(prove(given.clips, given.seed, given.level, known, labels).to_markdown(), end="\n\n")
    if given.agreement:
        from sama_video.annotate.proof_agreement import prove_agreement
        from sama_video.chat.loading import load

        print(prove_agreement(load(given.model), given.agreement, given.seed, given.level).to_markdown())


if __name__ == "__main__":
    main()
