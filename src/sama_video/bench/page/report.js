"use strict";
// Texts come from models and data sets: they only ever enter the page as text, never as markup.
(() => {
  const questions = JSON.parse(document.getElementById("questions").textContent);
  const field = (id) => document.getElementById(id);
  const list = field("list");
  const PAGE = 40;
  let matching = [];
  let showing = 0;

  const element = (name, kind, text) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const shownMode = () => document.body.dataset.show;
  const inMode = (mode) => shownMode() === "both" || shownMode() === mode;

  // Scores that the order and the score filter look at: those of the modes shown, as they are shown.
  const mainScores = (question) =>
    Object.entries(question.main).filter(([mode]) => inMode(mode)).map(([, score]) => score);
  const unscoredLast = (question, far, pick) => (mainScores(question).length ? pick(...mainScores(question)) : far);
  const orders = {
    asked: (a, b) => a.place - b.place,
    low: (a, b) => unscoredLast(a, 1e9, Math.min) - unscoredLast(b, 1e9, Math.min) || a.place - b.place,
    high: (a, b) => unscoredLast(b, -1e9, Math.max) - unscoredLast(a, -1e9, Math.max) || a.place - b.place,
  };

  function accepts(question, wanted) {
    if (wanted.subset && question.subset !== wanted.subset) return false;
    if (wanted.text && !question.search.includes(wanted.text)) return false;
    if (wanted.least === null && wanted.most === null) return true;
    const least = wanted.least === null ? -Infinity : wanted.least;
    const most = wanted.most === null ? Infinity : wanted.most;
    return mainScores(question).some((score) => score >= least && score <= most);
  }

  const number = (id) => (field(id).value === "" ? null : Number(field(id).value));
  const filters = () => ({
    subset: field("subset").value,
    text: field("text").value.trim().toLowerCase(),
    least: number("least"),
    most: number("most"),
  });

  function words(pieces) {
    const line = element("span");
    for (const [text, phrase] of pieces) line.append(phrase ? element("span", "phrase", text) : text);
    return line;
  }

  function said(question) {
    const table = element("dl", "said");
    const row = (name, content) => {
      const cell = element("dd");
      cell.append(content);
      table.append(element("dt", "", name), cell);
    };
    row("Question", question.question);
    row("Answer", question.error === null ? words(question.answer) : element("span", "failed", "none: " + question.error));
    if (question.reference.length) row("Reference", words(question.reference));
    for (const [mode, values] of Object.entries(question.scores)) {
      if (!inMode(mode)) continue;
      row(mode, Object.entries(values).map(([name, value]) => name + " " + value).join(" · "));
    }
    row("Video", question.video);
    if (question.pictured) {
      const link = element("a", "", "masks");
      link.href = "#card-" + question.place;
      row("Pictures", link);
    }
    return table;
  }

  function entry(question) {
    const made = element("details");
    const summary = element("summary");
    const top = element("span", "top");
    const scores = Object.entries(question.main).filter(([mode]) => inMode(mode));
    top.append(element("span", "score", scores.map(([, score]) => score.toFixed(1)).join(" / ") || "unscored"));
    top.append(element("span", "where", question.where));
    if (question.error !== null) top.append(element("span", "failed", "no answer"));
    summary.append(top, element("span", "asked", question.question));
    made.append(summary);
    made.addEventListener("toggle", () => { if (made.open && made.children.length === 1) made.append(said(question)); });
    return made;
  }

  function more() {
    for (const question of matching.slice(showing, showing + PAGE)) list.append(entry(question));
    showing = Math.min(showing + PAGE, matching.length);
    field("more").hidden = showing === matching.length;
    field("count").textContent = matching.length + " of " + questions.length + " questions, " + showing + " shown";
  }

  function refresh() {
    const wanted = filters();
    matching = questions.filter((question) => accepts(question, wanted));
    matching.sort(orders[field("order").value]);
    const kept = new Set(matching.map((question) => question.place));
    for (const card of document.querySelectorAll(".card")) card.hidden = !kept.has(Number(card.dataset.place));
    for (const part of document.querySelectorAll(".picked")) part.querySelector(".nothing").hidden = part.querySelector(".card:not([hidden])") !== null;
    list.replaceChildren();
    showing = 0;
    more();
  }

  questions.forEach((question, place) => {
    question.place = place;
    const said = [question.answer, question.reference].map((pieces) => pieces.map(([text]) => text).join(""));
    question.search = [question.id, question.video, question.question, ...said].join(" ").toLowerCase();
  });
  field("filters").hidden = false;
  field("browser").hidden = false;
  field("filters").addEventListener("submit", (event) => event.preventDefault());
  field("filters").addEventListener("input", (event) => {
    if (event.target.name === "mode") document.body.dataset.show = event.target.value;
    refresh();
  });
  field("more").addEventListener("click", more);
  refresh();
})();
