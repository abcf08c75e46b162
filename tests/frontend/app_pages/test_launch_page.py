"""The launch form beyond one grid: lists of λ, several methods, copies with their changes, priorities."""

import json

import pytest

from densitylab.backend.shared.contracts import Priority, RunSpec, RunsRequest
from tests.frontend.page_text import linked, page_text

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}


def ending(widgets, text: str):
    return next(item for item in widgets if (item.key or "").endswith(text))


def launched(app, live_api):
    return live_api.client.experiment(int(linked(app, "experiment")))


def test_log_spaced_weights_are_taken_into_the_list(page):
    app = page.open("launch")
    ending(app.number_input, "/spaced/count").set_value(4).run()
    app = ending(app.button, "/spaced/take").click().run()
    page_text(app)
    assert ending(app.text_input, "/lambda").value == "0, 0.1, 0.46, 2.2, 10"  # around the 1 and 10 of a first sweep
    assert "Launch 5 runs" in [item.label for item in app.button]


def test_several_methods_are_launched_as_one_experiment(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(2).run()
    ending(app.text_input, "/seeds").set_value("0, 1").run()
    methods = ending(app.multiselect, "/methods")
    app = methods.set_value(methods.options[:1] + [name for name in methods.options if "acobian" in name]).run()
    page_text(app)
    app = ending(app.text_input, "/methods/jacobian/lambda").set_value("0.1, 1").run()
    ending(app.selectbox, "/priority").set_value(Priority.HIGH).run()
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    runs = live_api.client.runs_of(launched(app, live_api).id)
    assert [(run.spec.regularizer.key, run.spec.lambda_) for run in runs if run.spec.seed == 0] == [
        ("marginal_density", 0.1),
        ("none", 0),
        ("jacobian", 0.1),
        ("jacobian", 1),
    ]
    assert len(runs) == 8 and {run.priority for run in runs} == {Priority.HIGH}


def test_a_copy_of_an_experiment_says_what_it_changes(page, live_api):
    run = live_api.launch(
        SMALL, [{"lambda_": [0.1], "seed": [0, 1]}, {"regularizer": [{"key": "none"}], "lambda_": [0], "seed": [0, 1]}]
    )[0]
    original = live_api.client.run(run).experiment
    app = page.open("launch", **{"from": str(original)})
    assert "nothing is changed yet" in page_text(app)
    assert "Launch 4 runs" in [item.label for item in app.button]
    app = ending(app.number_input, "/epochs").set_value(3).run()
    assert "Epochs: ~~2~~ → **3**" in page_text(app)
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    copies = live_api.client.runs_of(launched(app, live_api).id)
    assert [run.spec.regularizer.key for run in copies] == ["marginal_density"] * 2 + ["none"] * 2
    assert {run.spec.epochs for run in copies} == {3}


def copy_of(page, experiment: int):
    app = page.open("launch", **{"from": str(experiment)})
    return app, page_text(app)


@pytest.mark.parametrize(
    ("sweep", "copied", "said"),
    [
        ({"seed": [3]}, {"seed": [3, 4]}, ""),
        ({"epochs": [1]}, {"seed": [0, 4]}, ""),
        ({"regularizer": [{"key": "jacobian"}], "lambda_": [1]}, {"seed": [0, 4]}, ""),
        ({"epochs": [1, 3]}, {"seed": [0, 4]}, "one epochs, the first"),
        ({"model": [{"key": "cnn"}, {"key": "mlp"}]}, {"seed": [0, 4]}, "one model, the first"),
        ({"optimizer.params.lr": [0.1, 0.2], "batch_size": [8, 16]}, None, "one batch size, the first"),
    ],
)
def test_a_copy_of_an_experiment_has_its_sweep_or_says_what_is_not_in_it(sweep, copied, said, page, live_api):
    runs = live_api.launch({"epochs": 2, "evaluations": []}, sweep)
    first = live_api.client.run(runs[0])
    live_api.client.add_runs(first.experiment, {"seeds": [4]})
    app, text = copy_of(page, first.experiment)
    request = json.loads(app.code[0].value.partition("-d '")[2].removesuffix("'"))
    assert said in text and ("not in this copy" in text) is bool(said)
    assert request["sweep"] == (copied or {"optimizer.params.lr": [0.1, 0.2], "seed": [0, 4]})
    spec = RunSpec.model_validate(request["spec"])
    same = [(spec.epochs, spec.batch_size, spec.model.key, spec.regularizer.key, spec.lambda_)]
    own = first.spec
    assert same == [(own.epochs, own.batch_size, own.model.key, own.regularizer.key, own.lambda_)]


def test_a_copy_of_an_experiment_has_the_seeds_and_weights_that_were_added(page, live_api):
    methods = [
        {"lambda_": [0, 1], "seed": [0, 1]},
        {"regularizer": [{"key": "jacobian"}], "lambda_": [0.1], "seed": [0, 1]},
    ]
    run = live_api.launch(SMALL, methods)[0]
    experiment = live_api.client.run(run).experiment
    live_api.client.add_runs(experiment, RunsRequest(seeds=[2]))
    live_api.client.add_runs(experiment, RunsRequest(lambdas=[5]))
    app, text = copy_of(page, experiment)
    assert ending(app.text_input, "/lambda").value == "0, 1, 5" and ending(app.text_input, "/seeds").value == "0, 1, 2"
    assert ending(app.text_input, "/methods/jacobian/lambda").value == "0.1"  # one λ, which was not varied
    assert "Launch 12 runs" in [item.label for item in app.button]
    assert len(live_api.client.runs_of(experiment)) == 12 and "not in" not in text
    assert "nothing is changed yet" in text


def test_a_copy_names_the_runs_that_form_no_grid(page, live_api):
    run = live_api.launch(SMALL, {"lambda_": [0, 1], "seed": [0, 1]})[0]
    experiment = live_api.client.run(run).experiment
    live_api.client.add_runs(experiment, RunsRequest(lambdas=[5], seeds=[7]))
    live_api.finish(run)
    live_api.client.delete_run(run)
    app, text = copy_of(page, experiment)
    text = text.replace("\\", "")  # of Markdown
    assert "Launch 4 runs" in [item.label for item in app.button]
    assert "1 run of the experiment not in this copy: Marginal-density smoothing λ = 5, seed 7." in text
    assert "1 run of this copy not in the experiment: Marginal-density smoothing λ = 0, seed 0." in text


def test_an_experiment_that_the_form_cannot_draw_says_so(page, live_api):
    run = live_api.launch(SMALL, [{"lambda_": [0.1]}, {"lambda_": [0.2]}])[0]
    app = page.open("launch", unfold=False, **{"from": str(live_api.client.run(run).experiment)})
    assert "The form cannot draw this experiment" in page_text(app)


def test_the_price_stands_before_the_click(page):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(3).run()
    app = ending(app.text_input, "/seeds").set_value("0, 1").run()
    page_text(app)
    price = {item.label: item.value for item in app.metric}
    assert price["Runs"] == "2" and price["Steps"] == "216"  # 2 runs of 3 epochs of 36 batches
    assert price["Training"].startswith("≈") or price["Training"] == "unknown"
    assert "No training worker is running" in " ".join(item.value for item in app.warning)


def test_the_advanced_fields_are_launched_as_they_are_drawn_and_come_back_in_a_copy(page, live_api):
    app = page.open("launch")
    ending(app.selectbox, "/precision").set_value("bfloat16").run()
    ending(app.selectbox, "/sampling").set_value("class_balanced").run()
    ending(app.number_input, "/clip").set_value(2.5).run()
    ending(app.number_input, "/ema").set_value(0.99).run()
    app = ending(app.number_input, "/patience").set_value(4).run()
    ending(app.selectbox, "/watched").set_value("validation_accuracy").run()
    ending(app.checkbox, "/deterministic").set_value(True).run()
    schedule = ending(app.selectbox, "/lr_schedule/key")
    app = schedule.set_value(next(name for name in schedule.options if "osine" in name)).run()
    ending(app.number_input, "/lr_schedule/cosine/warm_up").set_value(0.1).run()
    app = ending(app.checkbox, "/augment").set_value(True).run()
    choice = ending(app.selectbox, "/augmentation/key")
    app = choice.set_value(next(name for name in choice.options if name == "Crop")).run()
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    run_id = int(linked(app, "run"))
    spec = live_api.client.run(run_id).spec
    assert (spec.precision, spec.sampling, spec.gradient_clip, spec.ema_decay) == (
        "bfloat16",
        "class_balanced",
        2.5,
        0.99,
    )
    assert spec.early_stop.model_dump() == {"patience": 4, "metric": "validation_accuracy"} and spec.deterministic
    assert spec.lr_schedule.model_dump() == {"key": "cosine", "params": {"end": 0.0, "warm_up": 0.1}}
    assert spec.augmentation.model_dump() == {"key": "random_crop", "params": {"padding": 4}}

    app = page.open("launch", clone=str(run_id))
    assert "nothing is changed yet" in page_text(app)


def test_compile_with_double_backward_is_refused_beside_its_field(page):
    app = page.open("launch")
    app = ending(app.checkbox, "/compile").set_value(True).run()
    assert "torch.compile refuses double backward" in page_text(app)
    assert ending(app.button, "launch-button").disabled


def test_evaluations_run_on_validation_images_too(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(2).run()
    app = ending(app.toggle, "/validation").set_value(True).run()
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    run = live_api.client.run(int(linked(app, "run")))
    asked = [(item.key, item.split) for item in run.evaluations]
    assert sorted(key for key, split in asked if split == "test") == sorted(
        key for key, split in asked if split == "validation"
    )
    again = page.open("launch", clone=str(run.id))
    assert ending(again.toggle, "/validation").value is True


def test_an_algorithm_is_chosen_with_its_parameters_and_only_where_it_can_run(page, live_api):
    app = page.open("launch")
    offered = ending(app.selectbox, "/algorithm/key").options
    assert "Just train twice (JTT)" in offered and "Group DRO" not in offered  # BlockMNIST has no groups
    data = ending(app.selectbox, "/dataset/key")
    app = data.set_value(next(name for name in data.options if "textures" in name)).run()
    app = ending(app.selectbox, "/algorithm/key").set_value("Group DRO").run()
    ending(app.number_input, "/algorithm/group_dro/step_size").set_value(0.05).run()
    ending(app.number_input, "/patience").set_value(4).run()
    app = ending(app.selectbox, "/watched").set_value("validation_worst_group").run()
    assert "the weights of the groups rise with their losses" in page_text(app)
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    run = live_api.client.run(int(linked(app, "run")))
    chosen = {"key": "group_dro", "params": {"step_size": 0.05, "adjustment": 0.0, "balanced": True}}
    assert run.spec.algorithm.model_dump() == chosen
    assert run.spec.early_stop.metric == "validation_worst_group"
    assert ", Group DRO, " in page_text(page.open("run", run=str(run.id)))
    app = page.open("launch", clone=str(run.id))
    assert "nothing is changed yet" in page_text(app)


def test_the_learning_rate_follows_the_model_until_it_is_given(page, live_api):
    app = page.open("launch")
    app = ending(app.selectbox, "/optimizer/key").set_value("SGD with momentum").run()
    model = ending(app.selectbox, "/model/key")

    def rate():
        return next(item.value for item in app.number_input if "/optimizer/sgd/lr" in item.key)

    assert rate() == 0.03  # of the MLP
    app = model.set_value("VGG11").run()
    assert rate() == 0.01 and "Recommended learning rate for VGG11: 0.01" in page_text(app)
    app = ending(app.selectbox, "/model/key").set_value("PreAct-ResNet-18").run()
    assert rate() == 0.03


def test_options_of_loss_memory_and_threads_are_launched_and_explained(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/label_smoothing").set_value(0.1)
    ending(app.selectbox, "/class_weights").set_value("balanced")
    ending(app.number_input, "/gradient_accumulation").set_value(4)
    ending(app.number_input, "/threads").set_value(2)
    app = ending(app.checkbox, "/activation_checkpointing").set_value(True).run()
    text = page_text(app)
    assert "0.91 instead of 1" in text and "4 parts of at most 25" in text and "computed again" in text
    app = ending(app.button, "launch-button").click().run()
    spec = live_api.client.run(int(linked(app, "run"))).spec
    assert (spec.label_smoothing, spec.class_weights) == (0.1, "balanced")
    assert (spec.gradient_accumulation, spec.activation_checkpointing, spec.threads) == (4, True, 2)


def test_the_size_that_keeps_a_pretrained_network_whole_is_a_click_away(page):
    app = page.open("launch")
    app = ending(app.selectbox, "/dataset/key").set_value("Waterbirds").run()
    app = ending(app.selectbox, "/model/key").set_value("ResNet-18").run()
    ending(app.selectbox, "/resnet18/pooling").set_value("max")
    app = ending(app.checkbox, "/resnet18/pretrained").set_value(True).run()
    assert "another than the pretrained one" in page_text(app)
    app = next(item for item in app.button if item.label == "Use image size 96").click().run()
    assert "another than the pretrained one" not in page_text(app)
    assert ending(app.number_input, "/dataset/waterbirds/image_size").value == 96


def test_an_evaluation_runs_in_two_variants_with_their_own_settings(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(2).run()
    app = ending(app.number_input, "/evaluations/leakage/variants").set_value(2).run()
    assert ending(app.text_input, "/evaluations/leakage/1/name").value == "leakage_2"
    ending(app.text_input, "/evaluations/leakage/1/name").set_value("leakage_zero_occlusion")
    app = ending(app.selectbox, "/evaluations/leakage/1/attribution/key").set_value("Occlusion").run()
    ending(app.number_input, "/leakage/1/attribution/occlusion/patch").set_value(1)
    app = ending(app.number_input, "/leakage/1/attribution/occlusion/stride").set_value(1).run()
    app = ending(app.toggle, "/validation").set_value(True).run()
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    run = live_api.client.run(int(linked(app, "run")))
    methods = {item.name: item.params["attribution"] for item in run.evaluations if item.key == "leakage"}
    occlusion = {"key": "occlusion", "params": {"patch": 1, "stride": 1}}
    assert methods == {
        "leakage": {"key": "gradient", "params": {}},
        "leakage_zero_occlusion": occlusion,
        "leakage_validation": {"key": "gradient", "params": {}},
        "leakage_zero_occlusion_validation": occlusion,
    }
    again = page.open("launch", clone=str(run.id))
    assert "nothing is changed yet" in page_text(again)
    assert ending(again.number_input, "/evaluations/leakage/variants").value == 2
    assert ending(again.text_input, "/evaluations/leakage/1/name").value == "leakage_zero_occlusion"


def test_two_variants_of_one_name_are_refused_beside_the_name(page):
    app = page.open("launch")
    app = ending(app.number_input, "/evaluations/leakage/variants").set_value(2).run()
    app = ending(app.text_input, "/evaluations/leakage/1/name").set_value("leakage").run()
    assert "'leakage' is named twice in this run" in page_text(app)
    assert ending(app.button, "launch-button").disabled


def test_a_data_set_with_groups_brings_their_accuracy(page):
    app = page.open("launch")
    assert [entry.key for entry in ending(app.multiselect, "/evaluations").value] == ["leakage", "pgd_linf"]
    choice = ending(app.selectbox, "/dataset/key")
    app = choice.set_value(next(name for name in choice.options if name.startswith("Digits on textures"))).run()
    page_text(app)
    assert {entry.key for entry in ending(app.multiselect, "/evaluations").value} == {"groups", "leakage", "pgd_linf"}


def test_a_copy_of_a_run_evaluated_on_validation_images_can_be_launched(page, live_api):
    twins = [
        {"key": "leakage"},
        {"key": "accuracy", "split": "validation", "name": "accuracy_validation"},
        {"key": "leakage", "split": "validation", "name": "leakage_validation"},
    ]
    (run,) = live_api.launch({**SMALL, "evaluations": twins})
    app = page.open("launch", clone=str(run))
    text = page_text(app)
    assert "named twice" not in text
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    copy = live_api.client.run(int(linked(app, "run")))
    assert {(item.key, item.split) for item in copy.spec.evaluations} >= {
        ("leakage", "test"),
        ("leakage", "validation"),
        ("accuracy", "validation"),
    }


def spec_of_first(app, live_api):
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    return live_api.client.run(int(linked(app, "run"))).spec


def test_options_that_are_not_drawn_yet_are_launched_as_they_are_drawn(page, live_api):
    app = page.open("launch", unfold=False)
    assert not [item for item in app.selectbox if (item.key or "").endswith("/sampling")]
    folded = spec_of_first(app, live_api)
    app = page.open("launch")
    assert ending(app.selectbox, "/sampling").value == "shuffled"
    assert spec_of_first(app, live_api) == folded
    copied = live_api.launch({"label_smoothing": 0.1})[0]
    app = page.open("launch", unfold=False, clone=str(copied))
    assert ending(app.number_input, "/label_smoothing").value == 0.1
