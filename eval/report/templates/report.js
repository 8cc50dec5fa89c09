"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = (id) => (byId(id) ? JSON.parse(byId(id).textContent) : null);

  const say = frame();
  answers();
  player();
  map();

  /* The page's frame in Indonesian: whole texts between tags, by a table in which numbers are `#`. What has a language of
     its own (prompts, answers, sentences) stays. Returns what puts a text that a script writes into the chosen language;
     the event `language` asks for it again. */
  function frame() {
    const table = data("words") || {}, choice = byId("language"), root = document.documentElement;
    const NUMBER = /\d+(?:[.,]\d+)*/g, ATTRIBUTES = ["aria-label", "placeholder", "title"];
    const NOT = "[lang]:not(html), script, style, code, pre, .facts";
    let indonesian = false;
    const english = new Map(); // text nodes, and [element, attribute] by the element
    const say = (text) => {
      if (!indonesian) return text;
      const plain = text.trim().replace(/\s+/g, " "), numbers = plain.match(NUMBER) || [];
      const found = table[plain.replace(NUMBER, "#")];
      return found === undefined ? text : text.replace(/\S[^]*\S|\S/, () => found.replace(/#/g, () => numbers.shift()));
    };
    function collect() {
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node; node = texts.nextNode())
        if (node.data.trim() && !node.parentElement.closest(NOT)) english.set(node, node.data);
      for (const name of ATTRIBUTES)
        document.querySelectorAll(`[${name}]`).forEach((element) => {
          if (!element.closest(NOT)) english.set([element, name], element.getAttribute(name));
        });
    }
    function choose(language) {
      indonesian = language === "id";
      root.lang = language;
      choice.textContent = indonesian ? "English" : "Bahasa Indonesia";
      choice.lang = indonesian ? "en" : "id";
      english.forEach((text, place) => {
        if (Array.isArray(place)) place[0].setAttribute(place[1], say(text)); else place.data = say(text);
      });
      document.querySelectorAll('a[href*=".html"]').forEach((link) => {
        link.setAttribute("href", `${link.getAttribute("href").split("?")[0]}?language=${language}`);
      });
      document.dispatchEvent(new Event("language"));
    }
    if (!choice) return say;
    collect();
    choice.hidden = false;
    choice.addEventListener("click", () => choose(indonesian ? "en" : "id"));
    const asked = new URLSearchParams(location.search).get("language") || root.dataset.language;
    if (asked === "id") choose("id");
    return say;
  }

  /* Answers side by side: filter, order, and ten at a time. */
  function answers() {
    const list = byId("answer-list");
    if (!list) return;
    const PAGE = 10;
    const all = [...list.children].map((node) => ({ node, text: node.textContent.toLowerCase() }));
    const search = byId("answer-search"), subset = byId("answer-subset"), order = byId("answer-order");
    const more = byId("answer-more"), count = byId("answer-count");
    let shown = PAGE;
    const rank = {
      number: (a) => Number(a.node.dataset.number),
      spread: (a) => -Number(a.node.dataset.spread),
      best: (a) => -Number(a.node.dataset.best),
      worst: (a) => Number(a.node.dataset.worst),
    };
    function update() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const by = rank[order.value];
      const found = all
        .filter((a) => !subset.value || a.node.dataset.subset === subset.value)
        .filter((a) => words.every((word) => a.text.includes(word)))
        .sort((a, b) => by(a) - by(b));
      all.forEach((a) => { a.node.hidden = true; });
      found.forEach((a, index) => { list.append(a.node); a.node.hidden = index >= shown; });
      more.hidden = found.length <= shown;
      count.textContent = say(`${Math.min(shown, found.length)} of ${found.length} items`);
    }
    const restart = () => { shown = PAGE; update(); };
    search.addEventListener("input", restart);
    subset.addEventListener("change", restart);
    order.addEventListener("change", restart);
    more.addEventListener("click", () => { shown += PAGE; update(); });
    document.addEventListener("language", update);
    update();
    // on paper there is no button: print what was found, all of it
    addEventListener("beforeprint", () => { shown = Infinity; update(); });
    addEventListener("afterprint", restart);
  }

  /* The replay of how answers were written. */
  function player() {
    const content = data("player-data");
    if (!content || !content.items.length) return;
    const pick = byId("player-item"), play = byId("player-play"), slider = byId("player-step"), speed = byId("player-speed");
    const stage = byId("player-stage"), status = byId("player-status");
    let item = null, timer = null;

    function choose() {
      stop();
      item = content.items[Number(pick.value)];
      byId("player-prompt").textContent = item.prompt;
      byId("player-reference").textContent = item.reference;
      slider.max = Math.max(1, ...item.replays.map((replay) => replay.steps.length));
      slider.value = slider.max;
      stage.replaceChildren(...item.replays.map(panel));
      draw();
    }
    function panel(replay) {
      const box = document.createElement("div"), head = document.createElement("h3");
      const name = document.createElement("span"), note = document.createElement("span"), tokens = document.createElement("div");
      name.textContent = say(replay.title); name.className = replay.style;
      note.className = "note"; tokens.className = "tokens"; tokens.lang = "id";
      head.append(name, note); box.append(head, tokens);
      return box;
    }
    function draw() {
      const step = Number(slider.value);
      item.replays.forEach((replay, index) => {
        const box = stage.children[index], end = Math.min(step, replay.steps.length);
        const cells = new Array(replay.length).fill(null);
        replay.steps.slice(0, end).forEach((at, number) => {
          at.take_back.forEach((place) => { cells[place] = { back: true, number }; });
          at.commit.forEach(([place, text, confidence]) => { cells[place] = { text, confidence, number }; });
        });
        const finished = end === replay.steps.length;
        box.querySelector(".note").textContent = say(`step ${end} of ${replay.steps.length}`);
        box.querySelector(".tokens").replaceChildren(...spans(cells, end - 1, finished));
      });
      const longest = Number(slider.max);
      slider.setAttribute("aria-valuetext", say(`step ${step} of ${longest}`));
      if (!timer) status.textContent = say(`Step ${step} of ${longest}`);
    }
    function spans(cells, current, finished) {
      const stopAt = finished ? cells.findIndex((cell) => cell && cell.text && /^<\|.*\|>$/.test(cell.text)) : -1;
      const kept = stopAt >= 0 ? cells.slice(0, stopAt + 1) : cells;
      return kept.map((cell) => {
        const span = document.createElement("span");
        span.className = "token";
        if (!cell || cell.back) {
          span.className += cell && cell.back && cell.number === current ? " masked back" : " masked";
          span.textContent = "·";
          return span;
        }
        if (/^<\|.*\|>$/.test(cell.text)) { span.className += " stop"; span.textContent = "stop"; } else span.textContent = cell.text;
        if (cell.number === current && !finished) span.className += " new";
        if (cell.confidence < 0.5) span.className += " unsure";
        span.title = say(`confidence ${cell.confidence.toFixed(2)}, step ${cell.number + 1}`);
        return span;
      });
    }
    function stop() {
      clearTimeout(timer); timer = null;
      play.textContent = say("Play"); play.setAttribute("aria-pressed", "false");
    }
    function tick() {
      if (Number(slider.value) >= Number(slider.max)) { stop(); draw(); return; }
      slider.value = Number(slider.value) + 1;
      draw();
      timer = setTimeout(tick, Number(speed.value));
    }
    play.addEventListener("click", () => {
      if (timer) { stop(); draw(); return; }
      if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
      play.textContent = say("Pause"); play.setAttribute("aria-pressed", "true");
      status.textContent = say("Playing");
      draw();
      timer = setTimeout(tick, Number(speed.value));
    });
    slider.addEventListener("input", () => { stop(); draw(); });
    pick.addEventListener("change", choose);
    document.addEventListener("language", choose);
    choose();
  }

  /* The cluster map: points on a canvas, text on hover, arrow keys from point to point. */
  function map() {
    const content = data("map-data");
    const canvas = byId("map-canvas");
    if (!content || !canvas) return;
    const cluster = byId("map-cluster"), subset = byId("map-subset"), text = byId("map-text");
    const context = canvas.getContext("2d"), dark = matchMedia("(prefers-color-scheme: dark)");
    const hues = [212, 28, 160, 285, 345, 52, 190, 95, 250, 8, 130, 315];
    let visible = content.points, active = null;

    const colour = (number) => `hsl(${hues[number % hues.length]} ${dark.matches ? "62% 66%" : "62% 40%"})`;
    const place = (point) => [20 + (point[0] / 1000) * (canvas.width - 40), 20 + (point[1] / 1000) * (canvas.height - 40)];
    function draw() {
      const scale = devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * scale; canvas.height = canvas.clientHeight * scale;
      const radius = (content.points.length > 1500 ? 2.1 : 3) * scale;
      visible.forEach((point) => {
        const [x, y] = place(point);
        context.fillStyle = colour(point[2]); context.globalAlpha = 0.72;
        context.beginPath(); context.arc(x, y, radius, 0, 7); context.fill();
      });
      context.globalAlpha = 1;
      label(scale);
      if (!active) return;
      const [x, y] = place(active);
      context.strokeStyle = getComputedStyle(document.body).color; context.lineWidth = 2 * scale;
      context.beginPath(); context.arc(x, y, radius + 4 * scale, 0, 7); context.stroke();
    }
    /* Each cluster's number at the middle of its visible points, on a halo of the page's colour. */
    function label(scale) {
      const groups = new Map();
      visible.forEach((point) => groups.set(point[2], [...(groups.get(point[2]) || []), place(point)]));
      const style = getComputedStyle(document.body);
      context.font = `600 ${13 * scale}px ${style.fontFamily}`;
      context.textAlign = "center"; context.textBaseline = "middle"; context.lineWidth = 4 * scale; context.lineJoin = "round";
      groups.forEach((places, number) => {
        const middle = [0, 1].map((axis) => places.map((at) => at[axis]).sort((a, b) => a - b)[places.length >> 1]);
        context.strokeStyle = style.backgroundColor; context.fillStyle = style.color;
        context.strokeText(number, ...middle); context.fillText(number, ...middle);
      });
    }
    function activate(point) {
      if (point === active) return;
      active = point;
      text.textContent = point ? `${say("Cluster")} ${point[2]} · ${content.subsets[point[3]]} · ${point[4]}` : "\u00a0";
      draw();
    }
    function nearest(event) {
      const box = canvas.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * canvas.width, y = ((event.clientY - box.top) / box.height) * canvas.height;
      let best = null, distance = (24 * (devicePixelRatio || 1)) ** 2;
      visible.forEach((point) => {
        const [px, py] = place(point), d = (px - x) ** 2 + (py - y) ** 2;
        if (d < distance) { best = point; distance = d; }
      });
      return best;
    }
    function filter() {
      visible = content.points.filter((point) =>
        (!cluster.value || String(point[2]) === cluster.value) && (!subset.value || point[3] === Number(subset.value)));
      active = null; text.textContent = say(`${visible.length} points`);
      draw();
    }
    canvas.addEventListener("pointermove", (event) => { const point = nearest(event); if (point) activate(point); });
    canvas.addEventListener("pointerdown", (event) => activate(nearest(event)));
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!move || !visible.length) return;
      event.preventDefault();
      const at = visible.indexOf(active);
      activate(visible[(at + move + visible.length) % visible.length]);
    });
    cluster.addEventListener("change", filter);
    subset.addEventListener("change", filter);
    addEventListener("resize", draw);
    dark.addEventListener("change", draw);
    draw();
  }
})();
