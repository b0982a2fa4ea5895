// The stream of changes: connect, read, connect again. By fetch and not EventSource, which can neither send a token nor
// tell "too many pages" from "not there".

import { askForToken, headers, sentence } from "./access.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 4000;
const SILENCE = 10000; // milliseconds; the daemon says something every two seconds
const HIDDEN = 60000;

export class Stream {
  constructor({ onMessage, onState }) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.abort = null;
    this.wait = FIRST_WAIT;
    this.wake = null;
    this.hiddenTimer = null;
    this.declined = false;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.visibility());
    window.addEventListener("online", () => this.wake?.());
    this.run();
  }

  // A page that nobody looks at gives its place back.
  visibility() {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) this.hiddenTimer = setTimeout(() => this.abort?.abort(), HIDDEN);
    else this.wake?.();
  }

  async run() {
    for (;;) {
      let why;
      try {
        why = await this.once();
      } catch {
        why = "the daemon cannot be reached";
      }
      if (document.hidden) await this.sleep(2 ** 31 - 1);
      else {
        this.onState({ live: false, why, again: this.wait });
        await this.sleep(this.wait);
        this.wait = Math.min(Math.max(this.wait * 2, FIRST_WAIT), LONGEST_WAIT);
      }
    }
  }

  // There is a new token: whoever said no before may be asked again.
  again() {
    this.declined = false;
    this.wake?.();
  }

  sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  // One connection, until it ends; why it ended.
  async once() {
    this.abort = new AbortController();
    const answer = await fetch("/stream", { headers: headers({ accept: "text/event-stream" }), signal: this.abort.signal, cache: "no-store" });
    if (answer.status === 401) {
      if (!this.declined) this.declined = !(await askForToken(await sentence(answer)));
      if (!this.declined) this.wait = 0;
      return "a token is needed";
    }
    if (!answer.ok) return sentence(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const silence = setTimeout(() => this.abort.abort(), SILENCE);
      const { done, value } = await reader.read();
      clearTimeout(silence);
      if (done) return "the daemon ended the stream";
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) this.dispatch(part);
    }
  }

  dispatch(part) {
    let kind = "message";
    let data = "";
    for (const line of part.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (!data) return;
    this.wait = FIRST_WAIT;
    this.onState({ live: true });
    this.onMessage(kind, JSON.parse(data));
  }
}
