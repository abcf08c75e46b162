// Links to "#field-…" lead to the field above the place with that class, also inside closed parts of the form.
export default function({ parentElement }) {
  const jump = (event) => {
    const link = event.target.closest?.('a[href*="#field-"]');
    if (!link) return;
    const place = document.querySelector(".st-key-" + link.getAttribute("href").split("#")[1]);
    if (!place) return;
    event.preventDefault();
    for (let part = place; part; part = part.parentElement) {
      if (part.matches("details:not([open])")) part.querySelector("summary").click();
    }
    const fields = [...document.querySelectorAll("[data-testid=stMain] :is(input, textarea)")];
    const above = (field) => field.compareDocumentPosition(place) & Node.DOCUMENT_POSITION_FOLLOWING;
    const field = fields.filter(above).at(-1);
    // A part that has just been opened has no size for a moment
    setTimeout(() => { place.scrollIntoView({ block: "center" }); field?.focus({ preventScroll: true }); }, 250);
  };
  parentElement.stopListening?.();  // Streamlit calls this function for new data too: the last call alone listens
  document.addEventListener("click", jump, true);
  parentElement.stopListening = () => document.removeEventListener("click", jump, true);
  return parentElement.stopListening;
}
