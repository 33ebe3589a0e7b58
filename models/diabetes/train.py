"""The recipe of `models/diabetes`: a perceptron with dropout and fitted noise, on scikit-learn's table.

python -m models.diabetes.train                  # checkpoint, held-out data and model card; some seconds
python -m models.diabetes.train --choose-rates   # the table behind RATES; half a minute
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import mcdrop
from mcdrop.checkpoint import InputSpec, OutputSpec
from mcdrop.metrics.regression import monte_carlo_log_likelihood, root_mean_squared_error
from mcdrop.zoo import DiabetesMLP
from models import card, recipe

HERE: Final = Path(__file__).parent
EPOCHS: Final = 50
RATES: Final = {"p": 0.2}
GRID: Final = {"p": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)}
COLUMNS: Final = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]

CARD: Final = """\
# diabetes

How far diabetes progresses in a year, from ten measurements, with an interval. A perceptron with dropout,
which stays on: the answer is a mixture of 128 thinned networks, each with Gaussian noise around it.

- **Input** `x`: (N, 10) float32, as `load_diabetes(scaled=False)` gives it: age (years), sex (1 or 2), body
  mass index, mean blood pressure, six blood serum measurements s1 to s6. The scaling is inside the network.
- **Output**: (N, 1), disease progression one year after the measurements; 25 to 346 in the data.
- **Architecture**: `mcdrop.zoo.DiabetesMLP`: two hidden layers of 32 units, dropout after each.
- **Noise precision** tau = {tau:.3g}, so a noise of standard deviation {noise:.1f} in units of the output; it
  maximises the likelihood of the validation rows under the mixture of the samples. The rate was chosen on the
  same rows.
- **Data**: the 442 patients of Efron et al. 2004, "Least angle regression", split 60/20/20 with a fixed seed:
  `validation.npz` and `test.npz` hold what was not trained on.
- **Training**: AdamW, {epochs} epochs, on the squared error. The same weights each time, to the bit:
  `python -m models.diabetes.train`.

## Scores on the test rows

128 samples, seed 0; mean ± standard deviation over three training seeds, of which the first made this model.

{scores}

Ridge regression on the same training rows, its penalty chosen among them by leaving one out, has an RMSE of
{ridge:.4g}. Eighty-nine rows do not tell the two apart: the table has little more in it than a straight line.

## Rate

Chosen by the log likelihood of the validation rows (nats for a row, mean over the three seeds) and by nothing
else: `python -m models.diabetes.train --choose-rates`.

{rates}

## Limits

An example, not a medical device. Most of the interval is noise that ten columns cannot explain, and the noise
is taken to be the same for everyone.
"""


def load() -> recipe.Split:
    """Columns (N, 10) in their own units, and disease progression (N, 1)."""
    columns, progression = load_diabetes(return_X_y=True, scaled=False)
    return recipe.split(torch.from_numpy(columns).float(), torch.from_numpy(progression).float()[:, None])


def train(part: recipe.Part, *, seed: int, p: float, epochs: int = EPOCHS) -> DiabetesMLP:
    """A network with this rate, trained from this seed."""
    with recipe.seeded(seed):
        model = DiabetesMLP(p=p)
        model.columns.fit(part.x)
        scale = model.progression.fit(part.y)

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            return F.mse_loss(scale(outputs), scale(targets))

        recipe.fit(model, part, loss=loss, epochs=epochs, weight_decay=1.0)
    return model


def fitted(model: DiabetesMLP, part: recipe.Part) -> mcdrop.MCDropout:
    """The model with the noise precision that suits these rows best."""
    samples = mcdrop.MCDropout(model).sample(part.x)
    return mcdrop.MCDropout(model, task="regression", tau=fit_tau(samples, part.y))


def fit_tau(samples: Tensor, y: Tensor) -> float:
    """The noise precision under which the outcomes are likeliest, given the mixture of the samples.

    A grid over the logarithm that is refined around its best point: the likelihood may have several peaks.

    Args:
        samples: (S, N, 1) outputs.
        y: (N, 1) outcomes.

    Returns:
        In 1 / squared units of y.
    """
    guess = (y - samples).square().mean().item()
    centre, reach = -np.log(guess), 6.0
    while reach > 1e-6:
        grid = np.linspace(centre - reach, centre + reach, 49)
        likelihoods = [monte_carlo_log_likelihood(samples, np.exp(point), y).mean() for point in grid]
        centre, reach = grid[np.argmax(likelihoods)], reach / 12
    return float(np.exp(centre))


def evaluate(mc: mcdrop.MCDropout, part: recipe.Part) -> mcdrop.Report:
    """The scores of the samples and of the deterministic pass."""
    return mcdrop.evaluate(mc.predict(part.x), part.y)


def log_likelihood(data: recipe.Split, *, seed: int, p: float) -> float:
    """Of the validation rows, in nats for a row, under the tau that suits them best."""
    mc = fitted(train(data.train, seed=seed, p=p), data.validation)
    return -evaluate(mc, data.validation).score("nll").value


def ridge_error(data: recipe.Split) -> float:
    """The RMSE on the test rows of what one would try first."""
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 61)))
    ridge.fit(data.train.x.numpy(), data.train.y.numpy().ravel())
    mean = torch.from_numpy(ridge.predict(data.test.x.numpy()))[:, None]
    return root_mean_squared_error(mean, data.test.y).item()


def main() -> None:
    """Train with each seed, fit tau, score on the test rows, write the first one's checkpoint."""
    asked = recipe.command_line(__doc__, out=HERE, epochs=EPOCHS)
    data = load()
    if asked.choose_rates:
        print(recipe.choose_rates(asked.out, GRID, partial(log_likelihood, data)))
        return
    models = [train(data.train, seed=seed, epochs=asked.epochs, **RATES) for seed in recipe.SEEDS]
    sampled = [fitted(model, data.validation) for model in models]
    reports = [evaluate(mc, data.test) for mc in sampled]
    print(f"{card.score_table(reports)}\nridge regression: RMSE {ridge_error(data):.4g}")
    recipe.save_held_out(asked.out, data)
    sampled[0].save(
        asked.out,
        overwrite=True,
        name="diabetes",
        inputs=[InputSpec(name="x", dtype="float32", shape=[10], columns=COLUMNS)],
        outputs=OutputSpec(names=["progression"]),
        training=recipe.training_facts(data, source="sklearn.datasets.load_diabetes", epochs=asked.epochs),
        scores={"test": card.scores_by_name(reports[0].scores)},
        readme=model_card(sampled[0], reports, data),
    )


def model_card(mc: mcdrop.MCDropout, reports: list[mcdrop.Report], data: recipe.Split) -> str:
    """The README of the checkpoint."""
    tau = mc.tau or float("nan")
    return CARD.format(
        tau=tau,
        noise=tau**-0.5,
        epochs=EPOCHS,
        scores=card.score_table(reports),
        ridge=ridge_error(data),
        rates=card.rates_table(HERE / recipe.RATES_FILE),
    )


if __name__ == "__main__":
    main()
