// Which build of the WebAssembly runtime this browser runs. A classic script: worker.js and service-worker.js import it.

{
  const start = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0]; // header; one function () -> ()
  const splat = [65, 0, 253, 15]; // i32.const 0, i8x16.splat
  const end = [26, 11]; // drop, end

  /** @param {number[]} code instructions of the function's body */
  const runs = (code) =>
    WebAssembly.validate(new Uint8Array([...start, 10, code.length + 3, 1, code.length + 1, 0, ...code]));

  // The builds differ in relaxed SIMD; LiteRT.js makes the same choice.
  self.wasmVariant = () => {
    if (runs([...splat, ...splat, 253, 128, 2, ...end])) return "litert_wasm_internal"; // i8x16.relaxed_swizzle
    return runs([...splat, ...end]) ? "litert_wasm_compat_internal" : null;
  };
}
