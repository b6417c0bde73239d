const VERSION = "@VERSION@";
const FILES = [/*@FILES@*/];
