// What both peers have in common: 64 runs at the same time, as `tenure bench` drives its own, for BENCH_SECONDS.
//
// A run has the steps of the benchmark's agent: 21 recorded results, ten of which carry the order that the tool is called
// with. They are made in this process, without a network in between.

export const STEPS = 21;
const AT_ONCE = 64;
const seconds = Number(process.env.BENCH_SECONDS ?? 5);
const order = "the order of the day, which is 130 bytes long";

/// The result of step n: as long as what the benchmark's model or tool answers.
export function step(n) {
  return n % 2 === 0 ? { calls: [{ name: "bench_tool", arguments: { n, last: n === 20, for: order } }] } : { result: n };
}

/// Begin runs one after the other in each of 64 places, until the time is over, and say what was done in it.
export async function measure(name, run) {
  let done = 0;
  let over = false;
  const place = async (p) => {
    for (let n = 0; !over; n += 1) {
      await run(`${process.pid}-${p}-${n}`);
      done += STEPS;
    }
  };
  const places = Array.from({ length: AT_ONCE }, (_, p) => place(p));
  const pause = (secs) => new Promise((resolve) => setTimeout(resolve, secs * 1000));
  await pause(seconds / 3);
  const [before, began] = [done, performance.now()];
  console.log(JSON.stringify({ begin: name }));
  await pause(seconds);
  const steps = done - before;
  console.log(JSON.stringify({ steps: steps || "none: no run has ended in that time", seconds: (performance.now() - began) / 1000 }));
  over = true;
  await Promise.all(places);
}
