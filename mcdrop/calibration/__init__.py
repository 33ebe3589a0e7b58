"""Calibrators, all of one form: `fit_...` gives a frozen object whose `apply` corrects predictions.

    fitted            what every calibrator records, and when its promise is void
    temperature       class probabilities, inside the average over the samples
    noise_precision   tau of a regression
    std_scaling       a factor for standard deviations
    isotonic          a monotone map for probabilities
    stored            any of them, and those of `conformal` and `selective`, from saved data

Import from the modules; nothing is repeated here.
"""
