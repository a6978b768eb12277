"""Print one Markdown table from many evaluations: a row a policy, columns as chosen.

python training/tables.py 'JSRL=runs/jsrl-*/evaluation.json' guide=guide.json --scores return_end
"""

from snn_training.common.command import run_command
from snn_training.studies.tables import Args, main

if __name__ == "__main__":
    run_command(main, Args)
