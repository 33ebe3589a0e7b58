"""Calibrators, all of one form: `fit_...` gives a frozen object whose `apply` corrects predictions.

    fitted            what every calibrator records, and when its promise is void
    temperature       class probabilities, inside the average over the samples
    vector_scaling    the same with a slope and an offset for each class
    platt             the probability of an event, likewise
    isotonic          a monotone map for probabilities
    noise_precision   tau of a regression
    std_scaling       a factor for standard deviations, or one for each level of them
    quantile_recalibration  a map between stated and observed levels
    stored            any of them, and those of `conformal` and `selective`, from saved data

    line_search, descent    how they are fitted

Import from the modules; nothing is repeated here.
"""
