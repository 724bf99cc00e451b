/** `node:assert/strict` as far as the tests here use it, in a browser. */

/**
 * @param {unknown} isSo
 * @param {string} message
 */
function ok(isSo, message = "The value is falsy.") {
  if (!isSo) throw new Error(message);
}

/** @param {unknown} value */
function shown(value) {
  if (value instanceof Uint8Array) return `${value.length} bytes: ${value.slice(0, 100)}`;
  return JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}n` : one))?.slice(0, 500) ?? String(value);
}

/**
 * @param {any} one
 * @param {any} other
 * @returns {boolean}
 */
function isSame(one, other) {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
  if (one instanceof Uint8Array) return one.length === other.length && indexedDB.cmp(one, other) === 0;
  const [names, others] = [Object.keys(one), Object.keys(other)];
  return names.length === others.length && names.every((name) => Object.hasOwn(other, name) && isSame(one[name], other[name]));
}

/**
 * @param {any} error
 * @param {Record<string, unknown>} expected
 */
function checkError(error, expected) {
  for (const [name, value] of Object.entries(expected)) {
    ok(error?.[name] === value, `The error has ${name} ${shown(error?.[name])} instead of ${shown(value)}: ${error}`);
  }
}

export default {
  ok,
  /** @param {unknown} found @param {unknown} expected @param {string} [about] */
  equal: (found, expected, about = "") => ok(Object.is(found, expected), `${about} ${shown(found)} is not ${shown(expected)}`),
  /** @param {unknown} found @param {unknown} expected @param {string} [about] */
  deepEqual: (found, expected, about = "") => ok(isSame(found, expected), `${about} ${shown(found)} is not ${shown(expected)}`),
  /** @param {() => unknown} work @param {Record<string, unknown>} expected */
  throws: (work, expected) => {
    let error;
    try {
      work();
    } catch (thrown) {
      return checkError(thrown, expected);
    }
    throw new Error("Nothing was thrown.");
  },
  /** @param {Promise<unknown>} promise @param {Record<string, unknown>} expected */
  rejects: async (promise, expected) => {
    await promise.then(
      () => Promise.reject(new Error("The promise was fulfilled.")),
      (error) => checkError(error, expected),
    );
  },
};
