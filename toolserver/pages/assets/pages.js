// Lets a reader call a method from its page, and copy what is there to be copied.
"use strict";

for (const part of document.querySelectorAll(".script-only")) part.hidden = false;
for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    call(form);
  });
  form.addEventListener("reset", () => { form.querySelector("output").hidden = true; });
}
for (const code of document.querySelectorAll("code.copy")) addCopier(code);
const pause = Number(document.querySelector("#content").dataset.renewedEvery);
if (pause) setInterval(renew, pause * 1000);

// What a page shows of a server changes: it is asked for again while somebody looks.
async function renew() {
  if (document.hidden) return;
  const answer = await fetch(location.href).catch(() => null);
  const stale = document.querySelector("[data-stale]");
  if (stale) stale.hidden = Boolean(answer?.ok);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("#content").replaceWith(page.querySelector("#content"));
}

// What was typed becomes JSON text, not values: numbers keep all of their digits.
async function member(control) {
  const text = control.value;
  const kind = control.dataset.kind;
  if (kind === "file") {
    const file = control.files[0];
    return file ? JSON.stringify(await base64(file)) : blank(control);
  }
  if (text === "" && !(kind === "text" && control.required)) return blank(control);
  if (kind === "text") return JSON.stringify(text);
  if (kind === "number" && !/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text.trim())) {
    throw new Error(`${control.name}: got "${text}", expected a number`);
  }
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`${control.name}: expected JSON: ${error.message}`);
  }
  return text.trim();
}

function blank(control) {
  return "nullable" in control.dataset ? "null" : undefined;
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function argumentsOf(form) {
  const members = [];
  for (const control of form.querySelectorAll("[data-kind]")) {
    const value = await member(control);
    if (value === undefined) continue;
    if (control.dataset.kind === "members") {
      const inner = value.replace(/^\{\s*|\s*\}$/g, "");
      if (inner) members.push(inner);
    } else {
      members.push(`${JSON.stringify(control.name)}: ${value}`);
    }
  }
  return `{${members.join(", ")}}`;
}

async function call(form) {
  const output = form.querySelector("output");
  const button = form.querySelector("button");
  output.replaceChildren();
  output.hidden = false;
  let url = form.dataset.url;
  let body;
  try {
    body = await argumentsOf(form);
  } catch (error) {
    output.append(element("p", error.message, "problem"));
    output.focus();
    return;
  }
  if (!url) {
    url = form.dataset.rpc;
    const name = JSON.stringify(form.dataset.name);
    body = `{"jsonrpc": "2.0", "id": 1, "method": ${name}, "params": ${body}}`;
  }
  button.disabled = true;
  const begin = performance.now();
  try {
    // The page may have been opened by another name than the server calls itself.
    const answer = await fetch(new URL(url).pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body,
    });
    await show(answer, output, Math.round(performance.now() - begin));
  } catch (error) {
    output.append(element("p", `No answer: ${error.message}`, "problem"));
  }
  button.disabled = false;
  output.append(element("h4", "The same by curl"));
  const shown = `curl ${quoted(url)} \\\n  -H 'Content-Type: application/json' -H 'Accept: application/json' \\\n  -d ${quoted(body)}`;
  const code = element("code", shown, "copy");
  const block = element("pre");
  block.append(code);
  output.append(block);
  addCopier(code);
  output.focus();
}

async function show(answer, output, took) {
  const kind = answer.headers.get("Content-Type") || "";
  output.append(element(
    "p",
    `${answer.status} ${answer.statusText}, ${took} ms${kind && ", " + kind}`,
    `status ${answer.ok ? "good" : "bad"}`,
  ));
  const place = answer.redirected ? `Led to ${answer.url}` : "";
  if (place) output.append(element("p", place));
  let text;
  if (/json|text|xml/.test(kind)) {
    text = await answer.text();
    if (/json/.test(kind) && !/ndjson/.test(kind)) text = indented(text);
  } else {
    const size = (await answer.arrayBuffer()).byteLength;
    text = size ? `(${size} bytes)` : "";
  }
  if (text) {
    const block = element("pre");
    block.append(element("code", text, "answer"));
    output.append(block);
  }
}

// Read and written again, numbers would change: 1.0 to 1, and long ones altogether.
function indented(text) {
  let depth = 0;
  const newline = () => "\n" + "  ".repeat(depth);
  const parts = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
  return parts.map((part, index) => {
    if (part === ":") return ": ";
    if (part === ",") return part + newline();
    const isEmpty = "{[".includes(part) && "}]".includes(parts[index + 1]);
    const closesEmpty = "}]".includes(part) && "{[".includes(parts[index - 1]);
    if (isEmpty || closesEmpty) return part;
    if ("{[".includes(part)) {
      depth += 1;
      return part + newline();
    }
    if ("}]".includes(part)) {
      depth -= 1;
      return newline() + part;
    }
    return part;
  }).join("");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function addCopier(code) {
  if (!navigator.clipboard) return;
  const button = element("button", "Copy", "copier");
  button.type = "button";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  code.parentElement.append(button);
}
