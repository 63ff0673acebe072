// Keys, and what waits for the pointer. Without this file every page reads and every action works.
(() => {
  const typing = (at) => at.matches("input, select, textarea") || at.isContentEditable
  // htmx looks at the page in a timer of its own, which may be before the extension for streams was loaded.
  setTimeout(() => {
    const stream = document.getElementById("stream")
    if (!stream) return
    stream.setAttribute("hx-sse:connect", stream.dataset.from)
    htmx.process(stream)
  })
  let held, top, heights = []
  // Nothing moves under the pointer or the focus; the server sends it again later.
  document.addEventListener("htmx:before:swap", (event) => {
    const tasks = event.detail.tasks || []
    for (let place = tasks.length - 1; place >= 0; place--) {
      if (tasks[place].target?.matches?.("tr:hover, #verdict:hover, #head:hover, :focus-within")) tasks.splice(place, 1)
    }
    heights = tasks.map(({target}) => [target?.id, target?.offsetHeight])
    held = document.activeElement === document.body ? document.querySelector("tr:hover, a:hover, button:hover") : document.activeElement
    top = held?.getBoundingClientRect().top
  })
  // Parts grow and never shrink, and what grows above is scrolled away.
  document.addEventListener("htmx:after:swap", () => {
    for (const [id, height] of heights) {
      const part = id && document.getElementById(id)
      if (part?.offsetHeight < height) part.style.minHeight = `${height}px`
    }
    if (held?.isConnected) scrollBy({top: held.getBoundingClientRect().top - top, behavior: "instant"})
  })
  addEventListener("resize", () => document.querySelectorAll("main [id]").forEach((part) => part.style.removeProperty("min-height")))
  let go = 0
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return
    if (event.key === "/") {
      const filter = document.querySelector("[data-filter]")
      if (filter) { event.preventDefault(); filter.focus() }
    } else if (event.key === "?") {
      document.getElementById("help").showModal()
    } else if (event.key === "g") {
      go = Date.now()
      return
    } else if (Date.now() - go < 1500) {
      document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`)?.click()
    }
    go = 0
  })
})()
