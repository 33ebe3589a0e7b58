"""Scores and calibration errors: pure functions of predictions and outcomes, each with its formula's source.

    classification          accuracy, log score and Brier score of probabilities
    regression, crps        errors, log scores, interval and quantile scores, CRPS
    reliability             pairs of confidence and event, in bins
    calibration_error       binned calibration errors of probabilities
    smooth_calibration      one without bins
    regression_calibration  PIT, quantile calibration, coverage, ENCE
    ranking                 does the uncertainty order the errors, or the foreign rows
    corp                    the Brier score's split by isotonic regression
    calibration_tests       p-values
    finite_samples          what few samples do to scores of their mean
    resampling              what chance alone does to a binned error

Import from the modules; nothing is repeated here.
"""
