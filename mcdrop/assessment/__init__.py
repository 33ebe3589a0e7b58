"""The parts of a report, computed from tensors and labels: curves, rankings, groups, rows, and a verdict.

    sections    the parts as data
    readings    what the parts are computed from, alike for all tasks
    diagrams    calibration curves with their bands, histograms, widths, spreads
    rankings    does the uncertainty order the errors, and which threshold to choose
    samples     scores against the number of samples
    splits      the parts of the uncertainty, and the rows that stand out
    groups      scores by group of rows
    elsewhere   rows from another distribution
    pairs       differences of two sets of row scores
    verdict     all that in words

Import from the modules; nothing is repeated here.
"""
