"""Evaluations of attributions beside leakage."""

from dataclasses import replace

from densitylab.backend.shared.catalog import evaluation_costs
from densitylab.backend.shared.catalog.cost import EvaluationCost
from densitylab.backend.shared.catalog.entries import EvaluationEntry, Images, Metric, Plot, ValueRange
from densitylab.backend.shared.catalog.evaluation_params import (
    ATTRIBUTION,
    SAMPLES,
    SAMPLES_500,
    SAMPLES_1000,
    STEP_LENGTHS,
)
from densitylab.backend.shared.catalog.params import Param
from densitylab.backend.shared.catalog.plots import ALIKE, CONTROLS, RANDOMISED, REMOVED, REMOVED_METRICS, STEPPED
from densitylab.backend.shared.catalog.value_ranges import LIKENESS, SHARES, at_least_zero

MOVED = (
    ValueRange(names=("*_changed",), low=0.0, high=1.0),
    ValueRange(names=("*attribution*",), low=-1.0, high=1.0),
)
MAP_EVALUATIONS = (
    EvaluationEntry(
        "energy_pointing",
        "Energy pointing game",
        "How much of the attribution's positive part lies on the object, outside of the null mask (Wang et al. 2020), "
        "and how often its largest value does (Zhang et al. 2018). By chance both are the object's share of the "
        "pixels.",
        "densitylab.worker.evaluations.energy_pointing:energy_pointing",
        cost=evaluation_costs.always(EvaluationCost(maps=2)),
        version=2,
        params=(ATTRIBUTION, SAMPLES),
        needs_mask=True,
        uses=("fresh_model",),
        plots=(
            Plot(
                title="Share of the positive attribution on the object",
                mark="violins",
                names=("energy",),
                controls=CONTROLS,
                images=Images(array="energy", pick="lowest", words="with the least on the object"),
            ),
        ),
        ranges=(SHARES,),
        metrics=(
            Metric(name="energy", label="Energy pointing game", higher_is_better=True),
            Metric(name="hits", label="Pointing game", higher_is_better=True),
        ),
    ),
    EvaluationEntry(
        "pixel_perturbation",
        "Pixel perturbation",
        "Accuracy and probability as pixels are removed in order of attribution: most important first (a low area is "
        "good), least important first (a high one is) and, for comparison, in random order.",
        "densitylab.worker.evaluations.pixel_perturbation:pixel_perturbation",
        cost=evaluation_costs.pixel_perturbation,
        version=2,
        params=(
            ATTRIBUTION,
            Param(
                name="ranking",
                type="str",
                default="absolute",
                choices=("absolute", "signed"),
                label="Ranking",
                help="Of Σ |a| or Σ a over the channels of a pixel.",
            ),
            Param(
                name="fill",
                type="str",
                default="zero",
                choices=("zero", "mean", "retained_mean", "blur", "noise"),
                label="Fill",
                help="What a removed pixel becomes: black, the image's mean, the mean of the pixels that are left, the "
                "blurred image, or uniform noise.",
            ),
            Param(
                name="fractions",
                type="floats",
                default=[0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0],
                minimum=0.0,
                exclusive_minimum=True,
                maximum=1.0,
                label="Fractions",
                help="Shares of the pixels removed.",
            ),
            SAMPLES_1000,
        ),
        plots=REMOVED,
        ranges=(
            ValueRange(names=("difference_relative_probability",)),
            ValueRange(names=("difference_*",), low=-1.0, high=1.0),
            at_least_zero("*_relative_probability"),
            SHARES,
        ),
        metrics=tuple(
            Metric(name=f"difference_{name}", label=f"Pixel perturbation, least − most: {label}", higher_is_better=True)
            for name, label in REMOVED_METRICS.items()
        ),
    ),
    EvaluationEntry(
        "input_gradient_perturbation",
        "Input-gradient perturbation",
        "One step up and down the gradient of the predicted class's logit: what it changes in the prediction, log p(x) "
        "and the attribution, beside a random map and a model with random weights.",
        "densitylab.worker.evaluations.gradient_steps:input_gradient_perturbation",
        cost=evaluation_costs.gradient_steps,
        version=3,
        params=(ATTRIBUTION, STEP_LENGTHS, SAMPLES_1000),
        uses=("fresh_model",),
        ranges=MOVED,
        plots=STEPPED,
    ),
    EvaluationEntry(
        "density_perturbation",
        "Density perturbation",
        "One step up and down ∇ log p(x): what it changes in the prediction, log p(x) and the attribution, beside a "
        "random map and a model with random weights.",
        "densitylab.worker.evaluations.gradient_steps:density_perturbation",
        cost=evaluation_costs.gradient_steps,
        version=3,
        params=(ATTRIBUTION, STEP_LENGTHS, SAMPLES_1000),
        uses=("fresh_model",),
        ranges=MOVED,
        plots=STEPPED,
    ),
    EvaluationEntry(
        "stability",
        "Attribution stability",
        "The attribution of x against that of a perturbed x by six measures of likeness, between two controls: a "
        "random map and a model with random weights.",
        "densitylab.worker.evaluations.stability:stability",
        cost=evaluation_costs.stability,
        version=3,
        params=(
            ATTRIBUTION,
            Param(
                name="perturbation",
                type="component",
                kind="perturbation",
                default={"key": "noise", "params": {}},
                label="Perturbation",
            ),
            SAMPLES_500,
        ),
        uses=("fresh_model",),
        ranges=(*LIKENESS, ValueRange(names=("changed",), low=0.0, high=1.0), at_least_zero("*")),
        plots=ALIKE,
    ),
    EvaluationEntry(
        "sensitivity",
        "Largest sensitivity",
        "The largest relative change of the attribution among noisy copies of x (Yeh et al. 2019).",
        "densitylab.worker.evaluations.sensitivity:sensitivity",
        cost=evaluation_costs.sensitivity,
        version=2,
        params=(
            ATTRIBUTION,
            Param(
                name="radius",
                type="float",
                default=0.02,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=1.0,
                label="Radius",
                help="The noise is uniform within it, on the [0, 1] pixel scale.",
            ),
            Param(
                name="draws",
                type="int",
                default=10,
                minimum=1,
                maximum=1000,
                label="Draws",
                help="Noisy copies of each image; the maximum grows with them.",
            ),
            SAMPLES_500,
        ),
        plots=(
            Plot(
                title="Largest sensitivity",
                mark="violins",
                names=("sensitivity_max",),
                images=Images(array="sensitivity_max", pick="highest", words="that are the most sensitive"),
            ),
        ),
        ranges=(at_least_zero("*"),),
        metrics=(Metric(name="sensitivity_max", label="Largest sensitivity", higher_is_better=False),),
    ),
    EvaluationEntry(
        "cascading_randomisation",
        "Cascading randomisation",
        "The attribution of the trained model against that of copies whose layers are random, from the last to the "
        "first (Adebayo et al. 2018), beside a random map: a map that stays alike shows the image and not the model.",
        "densitylab.worker.evaluations.cascading_randomisation:cascading_randomisation",
        cost=evaluation_costs.cascading_randomisation,
        version=2,
        params=(
            ATTRIBUTION,
            Param(
                name="stages",
                type="int",
                default=8,
                minimum=1,
                maximum=200,
                label="Stages",
                help="Most points of the curve; in a network of more layers several become random at once.",
            ),
            replace(SAMPLES, default=200),
        ),
        uses=("fresh_model",),
        ranges=(*LIKENESS, at_least_zero("layers")),
        plots=tuple(
            Plot(
                title=f"Likeness to the trained model's map: {words}",
                names=(name, f"{name}_chance"),
                controls=("chance",),
                images=Images(array=name, pick="highest", words="whose map changes least when all layers are random"),
            )
            for name, words in RANDOMISED.items()
        ),
    ),
)
