"""Pictures of arrays: the colours say what the numbers are, on one scale."""

import base64
import io
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from densitylab.backend.shared.contracts import Attribution, Panel, Samples, Status
from densitylab.frontend.maps.paper_figure import saliency_figure
from densitylab.frontend.maps.render import (
    Maps,
    data_url,
    filter_sign,
    image_pixels,
    map_pixels,
    mask_pixels,
    outline,
    png,
    read_maps,
    scale_pixels,
    values_url,
)
from densitylab.frontend.maps.saliency_panels import saliency_html, scale_html
from densitylab.frontend.maps.view import Display, MapView, RunColumn, leakage_text, map_warning, prediction_text


def channel(*rows: list[float]) -> np.ndarray:
    return np.array([rows], dtype=np.float32)


def test_zero_is_white_and_the_signs_are_red_and_blue():
    pixels = map_pixels(channel([0, 1, -1, 5, -5]), 1.0, signed=True)[0]
    white, red, blue, beyond, below = (tuple(int(part) for part in pixel) for pixel in pixels)
    assert white == (247, 247, 247)
    assert red == (103, 0, 31) and blue == (5, 48, 97)
    assert (beyond, below) == (red, blue)  # clipped


def test_opposite_values_are_equally_far_from_white():
    pixels = map_pixels(channel([0.5, -0.5]), 1.0, signed=True)[0].astype(int)
    luminance = pixels @ np.array([0.2126, 0.7152, 0.0722])
    assert abs(luminance[0] - luminance[1]) < 25


def test_magnitudes_grow_lighter_without_end():
    pixels = map_pixels(channel(list(np.linspace(0, 1, 50))), 1.0, signed=False)[0].astype(float)
    luminance = pixels @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > -1.5).all() and luminance[-1] - luminance[0] > 150


def test_what_is_not_a_number_is_grey():
    pixels = map_pixels(channel([np.nan, np.inf, 0]), 1.0, signed=True)[0]
    assert pixels[:2].tolist() == [[128, 128, 128]] * 2 and pixels[2].tolist() == [247, 247, 247]


def test_a_limit_of_zero_draws_white():
    assert (map_pixels(channel([0, 0]), 0.0, signed=True) == 247).all()


def test_channels_are_averaged():
    three = np.stack([np.full((1, 1), value) for value in (3.0, 0.0, 0.0)])
    assert (map_pixels(three, 1.0, signed=True) == map_pixels(channel([1.0]), 1.0, signed=True)).all()


def test_the_scale_shows_the_colours_of_its_ends():
    bar = scale_pixels(11, 2, signed=True)
    assert bar.shape == (2, 11, 3)
    assert bar[0, [0, 5, 10]].tolist() == [[5, 48, 97], [247, 247, 247], [103, 0, 31]]


@pytest.mark.parametrize(
    "image",
    [
        np.array([[[0, 128, 255]]], dtype=np.uint8),
        np.array([[[0, 128 / 255, 1.0]]], dtype=np.float32),
    ],
)
def test_images_of_both_kinds(image: np.ndarray):
    assert image_pixels(image).tolist() == [[[0] * 3, [128] * 3, [255] * 3]]


def test_a_mask_is_white_where_it_holds():
    assert mask_pixels(np.array([[[True, False]]]))[0, :, 0].tolist() == [255, 40]


def test_png_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(pixels)))) == pixels).all()
    assert base64.b64decode(data_url(pixels).partition(",")[2]) == png(pixels)


def view(display: Display | None = None, *, zero: bool = False) -> MapView:
    rng = np.random.default_rng(1)
    attributions = rng.normal(size=(2, 3, 1, 8, 4)).astype(np.float32)
    if zero:
        attributions[1, 2] = 0
    panels = [
        Panel(
            run=run,
            index=index,
            label=1,
            predicted=1 if run == 7 else 0,
            confidence=0.75,
            target=1,
            leakage=None if zero and run == 9 else 0.25,
            leakage_share=0.5,
            zero=zero and (run, index) == (9, 30),
        )
        for run in (7, 9)
        for index in (10, 20, 30)
    ]
    answer = Attribution(
        id=1,
        status=Status.SUCCEEDED,
        runs=[7, 9],
        method="gradient",
        params={},
        target="label",
        limit=2.0,
        samples=Samples(indices=[10, 20, 30]),
        panels=panels,
        task=1,
        created_at=datetime.now(UTC),
    )
    maps = Maps(
        images=np.zeros((3, 1, 8, 4), np.uint8),
        labels=np.ones(3, np.int64),
        attributions=attributions,
        predicted=np.ones((2, 3)),
        confidence=np.ones((2, 3)),
        masks=np.zeros((3, 1, 8, 4), bool),
    )
    columns = [RunColumn(7, "λ <0>", "#111111"), RunColumn(9, "λ 1", "#222222")]
    return MapView(answer, maps, columns, ["no", "yes"], True, "Gradient", display or Display())


def test_panels_are_found_by_run_and_image():
    shown = view()
    assert [(shown.panel(c, s).run, shown.panel(c, s).index) for c in (0, 1) for s in (0, 2)] == [
        (7, 10),
        (7, 30),
        (9, 10),
        (9, 30),
    ]


def test_the_words_under_a_map():
    shown = view()
    assert prediction_text(shown, shown.panel(0, 0), 1) == "✓ yes at 75%"
    assert prediction_text(shown, shown.panel(1, 0), 1) == "✗ no at 75%"
    assert leakage_text(shown.panel(0, 0)) == "leak 0.25 · 50%"


def test_the_chance_level_of_leakage_is_the_blocks_share_of_each_image():
    shown = view()
    shown.maps.masks[:, :, :6] = True  # 6 of 8 rows
    assert shown.chance_text() == "75%"
    shown.maps.masks[1] = True
    assert shown.chance_text() == "75% to 100%, by image"


def test_a_map_of_zeros_or_without_numbers_says_so():
    shown = view(zero=True)
    assert map_warning(shown.panel(1, 2)) == "zero everywhere" and "zero everywhere" in saliency_html(shown, 2)
    assert "not numbers" in map_warning(shown.panel(0, 0).model_copy(update={"nan": True}))
    assert leakage_text(shown.panel(1, 0)) == ""


def test_the_page_has_a_picture_for_the_image_and_each_run_with_the_null_region_and_escapes_names():
    text = saliency_html(view(), 2)
    assert text.count("<img ") == 2 * 3 * (1 + 2) and text.count('dl-outline"') == 3 * (1 + 2)  # each has an outline
    assert text.count("dashed: null region") == 3
    assert saliency_html(view(Display(outline=False)), 2).count("<img ") == 3 * (1 + 2)
    assert "λ &lt;0&gt;" in text and "<0>" not in text


def test_every_panel_is_drawn_on_the_same_scale():
    shown = view()
    text = saliency_html(shown, 2)
    for column in range(2):
        for sample in range(3):
            expected = data_url(map_pixels(shown.maps.attributions[column, sample], 2.0, signed=True))
            assert expected in text
    assert "−2" in scale_html(shown) and "+2" in scale_html(shown)


def test_another_percentile_narrows_the_scale_of_all_panels_alike():
    shown = view(Display(clip=50.0))
    assert shown.limit() == pytest.approx(np.percentile(np.abs(shown.maps.attributions), 50)) == shown.limit(1)
    assert "50th percentile of all their" in shown.limit_words()
    assert data_url(map_pixels(shown.maps.attributions[0, 0], shown.limit(), signed=True)) in saliency_html(shown, 2)
    assert view(Display(clip=100.0)).limit() == np.abs(shown.maps.attributions).max()


def test_with_scales_of_their_own_runs_have_their_own_limits():
    shown = view(Display(own_scale=True))
    for column in (0, 1):
        assert shown.limit(column) == pytest.approx(np.percentile(np.abs(shown.maps.attributions[column]), 99))
    assert "its run's own" in shown.limit_words() and "+limit" in scale_html(shown)


def test_one_sign_of_a_map_is_a_magnitude():
    values = channel([2, -3, 0])
    assert filter_sign(values, "positive").tolist() == [[[2, 0, 0]]]
    assert filter_sign(values, "negative").tolist() == [[[0, 3, 0]]]
    assert filter_sign(values, "magnitude").tolist() == [[[2, 3, 0]]]
    shown = view(Display(sign="negative"))
    expected = map_pixels(filter_sign(shown.maps.attributions[1, 1], "negative"), 2.0, signed=False)
    assert data_url(expected) in saliency_html(shown, 2) and not shown.diverging


def test_a_map_over_its_image():
    shown = view(Display(opacity=0.25, palette="purple-orange"))
    image = np.full((1, 8, 4), 200, np.uint8)
    plain = map_pixels(shown.maps.attributions[0, 0], 2.0, signed=True, palette="purple-orange").astype(float)
    mixed = shown.pixels(0, shown.maps.attributions[0, 0], image)
    assert np.abs(mixed - (0.25 * plain + 150)).max() <= 0.5
    assert (map_pixels(channel([1.0]), 1.0, signed=True, palette="purple-orange") == (127, 59, 8)).all()


def test_the_outline_runs_around_the_mask():
    mask = np.zeros((1, 4, 3), bool)
    mask[0, 2:] = True
    assert sorted(outline(mask)) == [(0, 2, 0, 4), (0, 2, 3, 2), (0, 4, 3, 4), (3, 2, 3, 4)]
    assert outline(np.zeros((1, 4, 3), bool)) == []
    mask[0, 0, 1] = True
    assert len(outline(mask)) == 8


def test_maps_carry_their_values_to_four_digits():
    values = np.random.default_rng(2).normal(size=(3, 5, 4)).astype(np.float32)
    values[0, 0, 0] = np.nan
    content, unit = values_url(values)
    whole = np.frombuffer(base64.b64decode(content), "<i2").reshape(5, 4)
    assert whole[0, 0] == -32768
    expected = values.astype(float).mean(axis=0)
    assert np.abs(whole * unit - expected)[1:].max() <= unit / 2 + 1e-12
    assert "data-values" in saliency_html(view(), 2, probe=True) and "data-values" not in saliency_html(view(), 2)


def test_one_run_is_shown_alone_and_the_pinned_image_is_marked():
    text = saliency_html(view(), 2, only=1, pinned=20)
    assert text.count("<img ") == 3 * 2 * 2 and "λ 1" in text and "λ &lt;0&gt;" not in text
    assert "test image 20 · pinned" in text


@pytest.mark.parametrize(
    ("display", "words"),
    [
        (Display(), "red raises the class score, blue lowers it"),
        (Display(palette="purple-orange"), "orange raises the class score, purple lowers it"),
        (Display(sign="negative"), "brighter lowers the class score more"),
        (Display(sign="magnitude"), "brighter has more effect on the class score, whether it raises or lowers it"),
    ],
)
def test_the_legend_says_which_colour_raises_the_score(display, words):
    assert view(display).color_meaning("the class score") == words


def test_the_figure_holds_every_map():
    shown = view(Display(outline=False))
    picture = np.asarray(Image.open(io.BytesIO(saliency_figure(shown, "Gradient, λ").png())).convert("RGB"))
    one_map = map_pixels(shown.maps.attributions[1, 2], 2.0, signed=True)
    zoom = round(112 / 8)
    enlarged = one_map.repeat(zoom, 0).repeat(zoom, 1)
    windows = np.lib.stride_tricks.sliding_window_view(picture, enlarged.shape)[:, :, 0]
    corner = (windows[..., 0, 0, :] == enlarged[0, 0]).all(axis=-1)
    assert any((windows[y, x] == enlarged).all() for y, x in zip(*np.nonzero(corner), strict=True))


def test_the_file_of_the_api_is_read_and_others_are_refused():
    file = io.BytesIO()
    np.savez(file, images=1, labels=2)
    with pytest.raises(ValueError, match="attributions, predicted, confidence"):
        read_maps(file.getvalue())


def test_the_svg_holds_every_map_and_its_words_as_words():
    shown = view(Display(outline=True))
    text = saliency_figure(shown, "Gradient, λ").svg().decode()
    root = ElementTree.fromstring(text)
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert len(root.findall("svg:image", names)) == 3 * 4 + 1  # with the scale
    words = [node.text for node in root.findall("svg:text", names)]
    assert "λ <0>" in words and "✓ yes at 75%" in words and "leak 0.25 · 50%" in words
    for column in (0, 1):
        for sample in range(3):
            assert data_url(map_pixels(shown.maps.attributions[column, sample], 2.0, signed=True)) in text
