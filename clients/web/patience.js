// Trying again what fails only for a moment, such as a room whose relay or proxy was just lost.

const PATIENCE_MS = 60_000;
const FIRST_MS = 200, LONGEST_MS = 5000;
const PASSING = new Set(["ROOM_UNAVAILABLE", "UNAVAILABLE", "DEADLINE_EXCEEDED"]);

/**
 * Does some work until it succeeds, fails for good, or has failed for a minute; then it fails with the last error. The
 * pauses grow, and are not the same for all, so that those who lost a server together do not all come back at once.
 * @template T
 * @param {() => Promise<T>} work
 * @param {() => boolean} wanted says before each new try whether it is to be done
 * @param {() => void} onPause is told before each pause
 * @returns {Promise<T>}
 */
export async function patiently(work, wanted, onPause) {
  const start = Date.now();
  for (let pause = FIRST_MS; ; pause = Math.min(LONGEST_MS, pause * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!PASSING.has(error.reason) || !wanted() || Date.now() - start > PATIENCE_MS) throw error;
      onPause();
      await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random())));
      if (!wanted()) throw error;
    }
  }
}
