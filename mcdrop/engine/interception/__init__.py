"""Interception: every random call that PyTorch code makes in Python, seen and answered with a draw of ours.

`mode` finds the calls, one file for each family of calls says what they compute, `table` lists them all. To
add a kind of call, write its handler in the file of its family and list it in that file's `HANDLERS`.
"""
