"use strict";
// Every text of the archive comes in through textContent, never as markup.
const $ = (id) => document.getElementById(id);
const facts = JSON.parse($("facts").textContent);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// --- blocks: gzip in base64, unpacked once, when first asked for
const unpacked = new Map();
function block(name) {
  if (!unpacked.has(name)) {
    const packed = document.querySelector(`script[data-block="${CSS.escape(name)}"]`);
    unpacked.set(name, packed ? unpack(packed.textContent) : Promise.resolve(null));
  }
  return unpacked.get(name);
}
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
async function jsonBlock(name) {
  const buffer = await block(name);
  return buffer === null ? null : JSON.parse(new TextDecoder().decode(buffer));
}

// --- theme
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : prefersDark;
  root.dataset.theme = isDark ? "light" : "dark";
});

// --- tables: sorted by the numbers behind the cells, downloaded with full precision
for (const head of document.querySelectorAll("thead th")) {
  head.querySelector("button").addEventListener("click", () => sortBy(head));
}
function sortBy(head) {
  const table = head.closest("table");
  const column = head.cellIndex;
  const isAscending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
  const isNumber = head.classList.contains("number");
  const key = (row) => {
    const cell = row.cells[column];
    if (!isNumber) return cell.textContent;
    return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  };
  const compare = (a, b) => {
    if (!isNumber) return a.localeCompare(b, undefined, { numeric: true });
    return Number.isNaN(a) - Number.isNaN(b) || a - b;
  };
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [key(row), row]);
  const sign = isAscending ? 1 : -1;
  rows.sort(([a], [b]) => (isNumber && (Number.isNaN(a) || Number.isNaN(b)) ? compare(a, b) : sign * compare(a, b)));
  body.append(...rows.map(([, row]) => row));
}
function download(name, content, type) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
for (const button of document.querySelectorAll("button[data-csv]")) {
  const name = button.dataset.csv;
  button.setAttribute("aria-label", `Download ${name} as CSV`);
  button.addEventListener("click", async () => {
    const content = await block(`csv-${name}`);
    if (content) download(`${name}.csv`, content, "text/csv");
  });
}
for (const button of document.querySelectorAll("button[data-svg]")) {
  const name = button.dataset.svg;
  button.setAttribute("aria-label", `Download ${name} as SVG`);
  button.addEventListener("click", () => {
    const svg = $(`figure-${name}`).querySelector("svg");
    const colors = getComputedStyle(document.documentElement);
    const text = new XMLSerializer().serializeToString(svg);
    const plain = text.replace(/var\((--[a-z]+)\)/g, (_, color) => colors.getPropertyValue(color).trim());
    download(`${name}.svg`, plain, "image/svg+xml");
  });
}

// --- figures: tips for marks and cells; a mark opens its variant in the explorer
const tip = element("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
}
const hideTip = () => { tip.hidden = true; };
for (const mark of document.querySelectorAll(".mark")) {
  const text = mark.getAttribute("aria-label");
  mark.addEventListener("pointermove", (event) => showTip(text, event.clientX, event.clientY));
  mark.addEventListener("pointerleave", hideTip);
  mark.addEventListener("focus", () => {
    const box = mark.getBoundingClientRect();
    showTip(text, box.right, box.top);
  });
  mark.addEventListener("blur", hideTip);
  const open = () => showVariant(mark.dataset.variant);
  mark.addEventListener("click", open);
  mark.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
}
for (const drawing of document.querySelectorAll(".drawing")) {
  drawing.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const marks = [...drawing.querySelectorAll(".mark")];
    if (!step || !marks.length) return;
    const at = marks.indexOf(document.activeElement);
    marks[at < 0 ? 0 : (at + step + marks.length) % marks.length].focus();
    event.preventDefault();
  });
}
for (const cells of document.querySelectorAll("[data-cells]")) {
  const { rows, columns, unit, values } = JSON.parse(cells.dataset.cells);
  cells.addEventListener("pointermove", (event) => {
    const box = cells.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows.length);
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns.length);
    if (!(row in rows) || !(column in columns)) return;
    const value = values[row][column];
    showTip(`${rows[row]}, ${columns[column]}: ${value === null ? "-" : value} ${unit}`, event.clientX, event.clientY);
  });
  cells.addEventListener("pointerleave", hideTip);
}

// --- question explorer
const NOT_EVALUATED = 255, NO_LOGLIK = -32768, MOST_LISTED = 400, LETTERS = "ABCDEFGHIJ";
let data = null;      // numbers of the chosen benchmark
let matching = [];    // questions that the filters let through
let selected = -1;    // index in matching

function fill(select, options) {
  select.replaceChildren(...options.map(([value, label]) => {
    const option = element("option", label);
    option.value = value;
    return option;
  }));
}
fill($("benchmark"), facts.benchmarks.map((b, i) => [i, b.label]));
for (const id of ["first", "second"]) fill($(id), facts.variants.map((name, i) => [i, name]));
$("first").value = facts.first_pair[0];
$("second").value = facts.first_pair[1];

async function loadBenchmark() {
  const benchmark = facts.benchmarks[$("benchmark").value];
  const [scores, loglik, questions] = await Promise.all([
    block(`${benchmark.name}-scores`),
    benchmark.has_loglik ? block(`${benchmark.name}-loglik`) : null,
    jsonBlock(`${benchmark.name}-questions`),
  ]);
  data = {
    benchmark, questions,
    scores: scores && new Uint8Array(scores),
    loglik: loglik && new Int16Array(loglik),
    position: new Map(benchmark.order.slice(0, benchmark.num_texts).map((q, i) => [q, i])),
  };
  fill($("score"), benchmark.scores.map((score, i) => [i, score.replaceAll("_", " ")]));
  const subjects = questions ? [...new Set(questions.subject)].sort() : [];
  fill($("subject"), [["", "all"], ...subjects.filter((s) => s !== "").map((s) => [s, s])]);
  $("subject").disabled = subjects.length < 2;
  await filter();
}
function scoreOf(variant, question, score) {
  const n = data.benchmark.num_questions;
  return data.scores[(score * facts.variants.length + variant) * n + question];
}
const CHANGES = {
  all: () => true,
  changed: (a, b) => a + b === 1,
  unchanged: (a, b) => a === b && a !== NOT_EVALUATED,
  lost: (a, b) => a === 1 && b === 0,
  gained: (a, b) => a === 0 && b === 1,
  right: (a, b) => a === 1 && b === 1,
  wrong: (a, b) => a === 0 && b === 0,
};
async function filter() {
  if (!data || !data.scores || !data.questions) {
    $("matches").textContent = "The numbers of this benchmark did not fit into the page.";
    return;
  }
  const [first, second, score] = ["first", "second", "score"].map((id) => Number($(id).value));
  const subject = $("subject").value, words = $("find").value.trim().toLowerCase();
  const fits = CHANGES[$("change").value];
  const { questions, benchmark } = data;
  const texts = words && !/^\d+$/.test(words) ? await questionTexts() : null;
  matching = [];
  for (let q = 0; q < benchmark.num_questions; q++) {
    if (subject && questions.subject[q] !== subject) continue;
    if (!fits(scoreOf(first, q, score), scoreOf(second, q, score))) continue;
    if (words && !isFound(q, words, texts)) continue;
    matching.push(q);
  }
  showList();
}
function isFound(q, words, texts) {
  if (texts === null) return String(data.questions.doc_id[q]) === words;
  return `${data.questions.subject[q]} ${texts.get(q) ?? ""}`.toLowerCase().includes(words);
}
async function questionTexts() {
  if (!data.texts) {
    data.texts = new Map();
    for (let i = 0; i < data.benchmark.num_texts; i += data.benchmark.chunk) {
      const chunk = await jsonBlock(`${data.benchmark.name}-texts-${i / data.benchmark.chunk}`);
      chunk.forEach((entry, k) => data.texts.set(data.benchmark.order[i + k], entry.question));
    }
  }
  return data.texts;
}
const SIGNS = { 0: "✗", 1: "✓", 255: "–" };
function showList() {
  const [first, second, score] = ["first", "second", "score"].map((id) => Number($(id).value));
  const shown = matching.slice(0, MOST_LISTED);
  $("list").replaceChildren(...shown.map((q, i) => {
    const item = element("div");
    item.setAttribute("role", "option");
    item.id = `item-${i}`;
    const subject = data.questions.subject[q];
    item.append(element("span", `${subject ? `${subject} ` : "question "}${data.questions.doc_id[q]}`, "name"));
    item.append(element("span", `${SIGNS[scoreOf(first, q, score)]} → ${SIGNS[scoreOf(second, q, score)]}`, "change"));
    item.addEventListener("click", () => select(i));
    return item;
  }));
  const more = matching.length > MOST_LISTED ? `, the first ${MOST_LISTED} are listed` : "";
  $("matches").textContent = `${matching.length} of ${data.benchmark.num_questions} questions${more}`;
  if (shown.length) select(0);
  else {
    selected = -1;
    $("list").removeAttribute("aria-activedescendant");
    $("question").replaceChildren(element("p", "No question is like that.", "note"));
  }
}
$("list").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
  if (!step || !matching.length) return;
  event.preventDefault();
  const last = Math.min(matching.length, MOST_LISTED) - 1;
  select(Math.max(0, Math.min(last, selected + step)));
});
async function select(index) {
  const list = $("list");
  list.children[selected]?.setAttribute("aria-selected", "false");
  selected = index;
  const item = list.children[index];
  item.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", item.id);
  if (item.offsetTop < list.scrollTop + list.offsetTop || item.offsetTop > list.scrollTop + list.offsetTop + list.clientHeight - 40) {
    list.scrollTop = item.offsetTop - list.offsetTop - list.clientHeight / 3;
  }
  const question = matching[index];
  const shown = await questionParts(question);
  if (matching[selected] === question) $("question").replaceChildren(...shown);
}
async function textsOf(question) {
  const position = data.position.get(question);
  if (position === undefined) return null;
  const { name, chunk } = data.benchmark;
  const entries = await jsonBlock(`${name}-texts-${Math.floor(position / chunk)}`);
  return entries[position % chunk];
}
async function questionParts(q) {
  const { questions, benchmark } = data;
  const texts = await textsOf(q);
  const pair = [Number($("first").value), Number($("second").value)];
  const subject = questions.subject[q] ? `${questions.subject[q]} · ` : "";
  const parts = [element("h3", `${benchmark.label} · ${subject}doc_id ${questions.doc_id[q]}`)];
  if (texts?.question !== undefined) parts.push(element("p", texts.question, "asked"));
  else if (texts === null) parts.push(element("p", "The texts of this question did not fit into the page.", "note"));
  else parts.push(element("p", "The text of this question is not at hand; see the note above.", "note"));
  if (benchmark.kind === "multiple-choice") parts.push(choicesTable(q, texts, pair));
  else parts.push(responses(q, texts, pair));
  if (texts?.solution) parts.push(folded("Gold solution", texts.solution));
  if (texts?.prompt) parts.push(folded(`Prompt as it was asked (${questions.prompt_tokens[q]} tokens, SHA-256 checked)`, texts.prompt));
  else parts.push(element("p", `The prompt has ${questions.prompt_tokens[q]} tokens; its text could not be made and checked.`, "note"));
  return parts;
}
function folded(title, text) {
  const details = element("details");
  details.append(element("summary", title), element("pre", text));
  return details;
}
function badge(score) {
  const [text, kind] = { 0: ["wrong", "wrong"], 1: ["right", "right"], 255: ["not evaluated", "none"] }[score];
  return element("span", text, `badge ${kind}`);
}
function choicesTable(q, texts, pair) {
  const { benchmark, loglik, questions } = data;
  const table = element("table", undefined, "choices");
  const head = table.createTHead().insertRow();
  for (const title of ["", "choice"]) head.append(element("td", title));
  for (const variant of pair) {
    const cell = element("th", `${facts.variants[variant]} `);
    cell.scope = "col";
    cell.append(badge(scoreOf(variant, q, 0)));
    head.append(cell);
  }
  const body = table.createTBody();
  const logliks = pair.map((variant) => {
    if (!loglik) return null;
    const at = (variant * benchmark.num_questions + q) * benchmark.num_choices;
    return [...loglik.slice(at, at + benchmark.num_choices)].map((x) => (x === NO_LOGLIK ? null : x / 100));
  });
  for (let c = 0; c < benchmark.num_choices; c++) {
    const row = body.insertRow();
    const isGold = c === questions.gold[q];
    if (isGold) row.className = "gold";
    row.append(element("td", LETTERS[c]), element("td", `${texts?.choices?.[c] ?? ""}${isGold ? "  (gold)" : ""}`));
    for (const values of logliks) {
      const cell = element("td");
      if (values === null || values[c] === null) cell.textContent = "-";
      else {
        const present = values.filter((x) => x !== null);
        const top = Math.max(...present);
        const total = present.reduce((sum, x) => sum + Math.exp(x - top), 0);
        const share = Math.exp(values[c] - top) / total;
        const bar = element("span", undefined, "bar");
        bar.style.width = `${(5 * share).toFixed(2)}rem`;
        const text = `${values[c].toFixed(2)} nat, ${(100 * share).toFixed(1)} %`;
        if (values.indexOf(top) === c) cell.append(bar, element("mark", text));
        else cell.append(bar, text);
      }
      row.append(cell);
    }
  }
  return table;
}
function responses(q, texts, pair) {
  const box = element("div", undefined, "pair");
  for (const variant of pair) {
    const side = element("div");
    const head = element("h4", `${facts.variants[variant]} `);
    data.benchmark.scores.forEach((score, i) => {
      const sign = badge(scoreOf(variant, q, i));
      sign.title = score;
      sign.prepend(`${score.replace("_correct", "")}: `);
      head.append(sign, " ");
    });
    side.append(head);
    const response = texts?.response?.[variant];
    if (response === undefined || response === null) side.append(element("p", "No response.", "note"));
    else {
      const answers = ["strict_answer", "flexible_answer"].map((name) => texts[name]?.[variant]);
      side.append(marked(response, answers));
      side.append(element("p", `Extracted: strict ${answers[0] ?? "-"}, flexible ${answers[1] ?? "-"}; gold ${data.questions.gold[q]}.`, "note"));
    }
    box.append(side);
  }
  return box;
}
// The strict answer stands behind the first "#### ", the flexible one is the last number.
function marked(text, [strict, flexible]) {
  const places = [];
  const add = (begin, answer, title) => { if (begin >= 0) places.push([begin, begin + answer.length, title]); };
  if (strict && strict !== "[invalid]") {
    const at = text.indexOf(`#### ${strict}`);
    add(at < 0 ? -1 : at + 5, strict, "strict answer");
  }
  if (flexible && flexible !== "[invalid]") {
    const at = text.lastIndexOf(flexible);
    if (!places.some(([begin, end]) => at < end && at + flexible.length > begin)) add(at, flexible, "flexible answer");
  }
  places.sort((a, b) => a[0] - b[0]);
  const pre = element("pre");
  let at = 0;
  for (const [begin, end, title] of places) {
    const mark = element("mark", text.slice(begin, end));
    mark.title = title;
    pre.append(text.slice(at, begin), mark);
    at = end;
  }
  pre.append(text.slice(at));
  return pre;
}
function showVariant(name) {
  const index = facts.variants.indexOf(name);
  if (index < 0) return;
  $("second").value = index;
  $("change").value = "changed";
  $("explorer").scrollIntoView();
  filter();
}
$("benchmark").addEventListener("change", loadBenchmark);
for (const id of ["subject", "first", "second", "score", "change"]) $(id).addEventListener("change", filter);
$("find").addEventListener("input", filter);
loadBenchmark();
