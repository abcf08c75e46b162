"""Opens an expander in a browser test."""

from playwright.sync_api import Locator

_AT_REST = """async expander => {
    const moving = () => expander.getAnimations({subtree: true}).filter(
        animation => animation.playState === 'running' && animation.effect.getTiming().iterations !== Infinity);
    do {
        await new Promise(requestAnimationFrame);
        await Promise.allSettled(moving().map(animation => animation.finished));
    } while (moving().length || !expander.open);
}"""


def open_expander(title: Locator) -> None:
    """Click the title, and wait until the content has stopped moving: a mouse button that is pressed on a moving
    control is released beside it."""
    title.click()
    title.locator("xpath=ancestor::details").evaluate(_AT_REST)
