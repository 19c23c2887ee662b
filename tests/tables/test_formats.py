"""What LaTeX itself makes of tables in that form."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ddbench.host.files import baselines_dir
from ddbench.runs.results_store import read_results
from ddbench.tables.formats import render
from ddbench.tables.table import make_table

RECORDED = sorted((baselines_dir() / "results").glob("*/*.jsonl"))
DOCUMENT = r"""\documentclass{article}
\usepackage[landscape,margin=1cm]{geometry}
\usepackage{booktabs}
\begin{document}
\input{table}
\end{document}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="this machine has no pdflatex")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_latex_sets_the_tables_of_recorded_results(path, tmp_path):
    table = make_table(read_results([path]), published=True, gain=True, mix_protocols=True)
    (tmp_path / "table.tex").write_text(render(table, "latex"))
    (tmp_path / "document.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "document.pdf").stat().st_size
