"""Claims about results, each with its statistical rule, and what recorded or new results say of them.

A claims file (`file`) names a family of claims; `sources` reads what they are judged against, `evidence` picks the
results a claim is about, `rules` tests them, `judging` corrects for the family and gives verdicts. `recording` turns
results into a claims file, `rerunning` says what to run again. `docs/claims.md` has the form of the file.
"""

from ddbench.claims.file import ClaimsFile, load_claims
from ddbench.claims.judging import Verdict, exit_code, judge
from ddbench.claims.sources import Sources, read_sources

__all__ = ["ClaimsFile", "Sources", "Verdict", "exit_code", "judge", "load_claims", "read_sources"]
