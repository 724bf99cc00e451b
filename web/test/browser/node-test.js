/** `node:test` as far as the tests here use it, in a browser: `test` collects, `run` runs one after the other. */

/** @type {{name: string, work: () => unknown}[]} */
const tests = [];

/**
 * @param {string} name
 * @param {() => unknown} work
 */
export function test(name, work) {
  tests.push({ name, work });
}

/** @returns {Promise<{name: string, error: string | null}[]>} the results of all tests that were collected */
export async function run() {
  const results = [];
  for (const { name, work } of tests) {
    let error = null;
    try {
      await work();
    } catch (thrown) {
      error = String(thrown instanceof Error ? (thrown.stack ?? thrown) : thrown);
    }
    results.push({ name, error });
  }
  return results;
}
