// The engine worker, and the helpers that it starts. The engine is a file of its own, so that the page loads without it,
// and there are two builds of it: one for browsers with relaxed SIMD, one for all.

// A module whose only function holds an i8x16.relaxed_swizzle.
const RELAXED = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, // magic, version
  1, 5, 1, 96, 0, 1, 123, // type: () -> v128
  3, 2, 1, 0, // one function of that type
  10, 15, 1, 13, 0, // its body, 13 bytes, no locals
  65, 1, 253, 15, // i32.const 1, i8x16.splat
  65, 2, 253, 15, // i32.const 2, i8x16.splat
  253, 128, 2, 11, // i8x16.relaxed_swizzle, end
);

async function engine() {
  const plain = new URLSearchParams(location.search).get("simd") === "plain";
  if (!plain && WebAssembly.validate(RELAXED)) {
    try {
      return await import("./engine_relaxed.js");
    } catch {
      // The page was built without it.
    }
  }
  return import("./engine.js");
}

// What the engine itself can no longer say.
function fail(error) {
  const message = String(error?.message ?? error);
  postMessage([{ type: "failed", id: null, failure: { kind: "crashed", message } }]);
}

async function start(module_or_path) {
  const { default: init, ...run } = await engine();
  await init(module_or_path && { module_or_path });
  return run;
}

if (self.name === "helper") {
  let helper;
  // The first message brings the engine.
  onmessage = ({ data: [module, ...order] }) => {
    helper ??= start(module);
    helper.then(({ help }) => help(order)).catch(fail);
  };
} else {
  start().then(({ listen }) => listen()).catch(fail);
}
