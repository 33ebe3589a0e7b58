"""The command line: `mcdrop inspect`, `predict`, `report`, `pack` and `serve`, one file for each of ours."""
