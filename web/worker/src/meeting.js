// How the workers of one model meet, over one SharedArrayBuffer. In JavaScript, so that waiting costs the engine one
// call a meeting and not one for every look at the memory.

// Where the state lies, in words. Each on a cache line of its own, and the shared words behind.
const ARRIVED = 0;
const MEETING = 16;
const BROKEN = 17;
const SLEEPERS = 32;
// Two words that take turns: nobody is two meetings ahead.
const SAID = 33;
const HEADER = 48;
// Looks at the memory before a worker goes to sleep, some tens of microseconds: about as long as waking takes. With a
// tenth of it, two workers are slower than one on a small model.
const SPINS = 20000;
// Between two passes the first worker chooses a token and lets its messages in, for some tenths of a millisecond.
const SPINS_BETWEEN_PASSES = 200000;
// How long a sleep lasts at most, in milliseconds, where patience has an end.
const NAP = 1000;

// How large a buffer of this many shared words is, in bytes.
export function sharedBytes(words) {
  return (HEADER + words) * 4;
}

export class Meeting {
  // `patience`: after so many milliseconds of waiting the others count as broken; it may be Infinity.
  constructor(buffer, count, patience) {
    this.state = new Int32Array(buffer, 0, HEADER);
    this.words = new Uint32Array(buffer, HEADER * 4);
    this.count = count;
    this.patience = patience;
  }

  write(at, words) {
    this.words.set(words, at);
  }

  read(at, words) {
    words.set(this.words.subarray(at, at + words.length));
  }

  // Returns when all have come: the word that one of them gave, or undefined where one of them broke down.
  meet(word, isBetweenPasses) {
    const { state } = this;
    // Read before BROKEN: whoever breaks the meeting sets BROKEN first, then MEETING.
    const meeting = Atomics.load(state, MEETING);
    if (Atomics.load(state, BROKEN)) return undefined;
    const said = SAID + (meeting & 1);
    if (word !== undefined) Atomics.store(state, said, word);
    if (Atomics.add(state, ARRIVED, 1) === this.count - 1) {
      Atomics.store(state, ARRIVED, 0);
      Atomics.add(state, MEETING, 1);
      // Waking is a call out of the fast code. Each side first says what it does, then looks at the other.
      if (Atomics.load(state, SLEEPERS) > 0) Atomics.notify(state, MEETING);
    } else {
      this.wait(meeting, isBetweenPasses ? SPINS_BETWEEN_PASSES : SPINS);
      if (Atomics.load(state, BROKEN)) return undefined;
    }
    return Atomics.load(state, said);
  }

  // Returns when the meeting is over.
  wait(meeting, spins) {
    const { state } = this;
    for (let spin = 0; spin < spins; spin++) {
      if (Atomics.load(state, MEETING) !== meeting) return;
    }
    const nap = this.patience === Infinity ? Infinity : NAP;
    Atomics.add(state, SLEEPERS, 1);
    for (let waited = 0; Atomics.load(state, MEETING) === meeting; ) {
      // Who ended the last meeting may call late, and wake somebody who waits for this one.
      if (Atomics.wait(state, MEETING, meeting, nap) !== "timed-out") continue;
      waited += nap;
      if (waited >= this.patience) this.break();
    }
    Atomics.sub(state, SLEEPERS, 1);
  }

  // Ends everyone's wait, now and ever after.
  break() {
    Atomics.store(this.state, BROKEN, 1);
    Atomics.add(this.state, MEETING, 1);
    Atomics.notify(this.state, MEETING);
  }

  // Runs `work`; whatever is thrown, a trap of the module too, ends everyone's wait.
  guard(work) {
    try {
      work();
    } catch (error) {
      this.break();
      throw error;
    }
  }
}
