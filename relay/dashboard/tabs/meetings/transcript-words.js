// The words of a line with their times, and where in the text a second of the recording is.

const kept = new WeakMap();

/** [{ word, start, end, gap }], `gap`: what stands behind it. Without times of the words, each has the part of the line that
 * its letters take up. */
export function wordsOf(line) {
  let words = kept.get(line);
  if (!words) kept.set(line, (words = timed(line)));
  return words;
}

function timed(line) {
  const tokens = tokensOf(line);
  if (line.words?.length === tokens.length) return tokens.map((word, n) => ({ word, start: line.words[n][1], end: line.words[n][2], gap: " " }));
  // Scripts without spaces: the model has words where the text shows none.
  if (line.words?.map(([word]) => word).join("") === tokens.join("")) return line.words.map(([word, start, end]) => ({ word, start, end, gap: "" }));
  const letters = tokens.reduce((sum, word) => sum + word.length + 1, 0);
  const perLetter = (line.end - line.start) / Math.max(1, letters);
  let at = line.start;
  return tokens.map((word) => {
    const start = at;
    at += (word.length + 1) * perLetter;
    return { word, start, end: at, gap: " " };
  });
}

const tokensOf = (line) => line.text.split(/\s+/).filter(Boolean);

export const textOf = (line) => wordsOf(line).map(({ word, gap }) => word + gap).join("");

/** The relay cuts lines between words that spaces set apart. */
export const canSplit = (line) => tokensOf(line).length > 1 && tokensOf(line).length === wordsOf(line).length;

/** Of a list in order of its `start`s the last one that has begun, -1 before the first. */
export function lastBegun(list, seconds) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const SLACK = 0.02; // seconds; a player stops a little before where it was sent

/** { line: id, word: index } that is being said, line null before the first. `inOrder`: lines by their start. */
export function placeOf(inOrder, seconds) {
  const line = inOrder[lastBegun(inOrder, seconds + SLACK)];
  if (!line) return { line: null, word: -1 };
  return { line: line.id, word: lastBegun(wordsOf(line), seconds + SLACK) };
}

export const MAX_HITS = 5000;

/** Every place where the words stand: [{ line: id, at: index in `lines`, from, to }] in textOf(line). */
export function find(lines, words) {
  const wanted = words.trim().split(/\s+/).join(" ");
  if (!wanted) return [];
  const pattern = new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
  const hits = [];
  for (const [at, line] of lines.entries()) {
    for (const match of textOf(line).matchAll(pattern)) {
      hits.push({ line: line.id, at, from: match.index, to: match.index + match[0].length });
      if (hits.length >= MAX_HITS) return hits;
    }
  }
  return hits;
}
