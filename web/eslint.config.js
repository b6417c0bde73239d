import js from "@eslint/js";
import globals from "globals";

const WORKERS = ["app/simd.js", "app/worker.js", "app/service-worker.js"];

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.browser },
    rules: {
      curly: ["error", "multi-line"],
      eqeqeq: "error",
      "max-lines": ["error", 320],
      "max-lines-per-function": ["error", 60],
      "no-alert": "error",
      "no-console": ["error", { allow: ["debug", "warn"] }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  {
    files: WORKERS,
    languageOptions: {
      sourceType: "script",
      globals: { ...globals.worker, ...globals.serviceworker, wasmVariant: "readonly" },
    },
  },
];
