"""The report's diagrams as data: axes, marks and a sentence that says what is seen.

They are drawn twice: as SVG on the page (`mcdrop.report`) and by matplotlib (`mcdrop.figures`).

    marks        what a chart consists of
    axes         ranges and ticks
    calibration  reliability, quantiles, PIT, widths, spreads
    decisions    risk and coverage, samples, rows from elsewhere
    listing      which charts a report has
"""
