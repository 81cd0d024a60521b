// A list of which only what is in view is in the page. Heights are guessed until a row was seen, then measured.
//
//   const rows = useWindow({ box, list, items, guess });      box, list: refs of what scrolls and of what holds the rows
//   rows.first, rows.last (exclusive), rows.above, rows.below      what to draw, and the pixels left out on both sides
//   rows.show(index, share)          scroll so that the row stands at this share of the height
//   rows.visible(index)              whether the row is in view as a whole
//   onUserScroll                     told when somebody scrolls who is not this module

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib/html.js";

const MORE = 8; // rows drawn beyond what is in view

export function useWindow({ box, list, items, guess, onUserScroll }) {
  const heights = useRef(new Map());
  const [measured, setMeasured] = useState(0);
  const [width, setWidth] = useState(0);
  const [span, setSpan] = useState({ first: 0, last: 30 });
  const expected = useRef(0);
  const pin = useRef(null);

  const tops = useMemo(() => {
    const found = new Float64Array(items.length + 1);
    for (let n = 0; n < items.length; n += 1) found[n + 1] = found[n] + (heights.current.get(items[n].id) ?? guess(items[n], width));
    return found;
  }, [items, measured, width]);
  const now = useRef(tops);
  now.current = tops;

  const look = useCallback(() => {
    if (!box.current) return;
    const top = box.current.scrollTop;
    const first = Math.max(0, below(now.current, top) - 1 - MORE);
    const last = Math.min(now.current.length - 1, below(now.current, top + box.current.clientHeight) + MORE);
    setSpan((old) => (old.first === first && old.last === last ? old : { first, last }));
  }, []);
  const put = useCallback((top) => {
    box.current.scrollTop = top;
    expected.current = box.current.scrollTop;
  }, []);

  const told = useRef(onUserScroll);
  told.current = onUserScroll;
  useEffect(() => {
    const element = box.current;
    const scrolled = () => {
      if (Math.abs(element.scrollTop - expected.current) > 2) {
        pin.current = null;
        told.current?.();
      }
      expected.current = element.scrollTop;
      look();
    };
    element.addEventListener("scroll", scrolled, { passive: true });
    const watch = new ResizeObserver(() => {
      setWidth((old) => {
        if (old !== element.clientWidth) heights.current.clear(); // other line breaks, other heights
        return element.clientWidth;
      });
      look();
    });
    watch.observe(element);
    return () => {
      element.removeEventListener("scroll", scrolled);
      watch.disconnect();
    };
  }, []);

  useLayoutEffect(() => {
    if (!box.current.clientHeight) return; // not shown now: nothing to measure
    let changed = false;
    let shift = 0;
    for (const row of list.current.children) {
      const at = Number(row.dataset.at);
      const height = row.getBoundingClientRect().height;
      const before = tops[at + 1] - tops[at];
      if (!items[at] || Math.abs(height - before) < 0.5) continue;
      heights.current.set(items[at].id, height);
      changed = true;
      // What is above the view must not push it.
      if (tops[at + 1] <= box.current.scrollTop) shift += height - before;
    }
    if (changed) {
      if (shift && !pin.current) put(box.current.scrollTop + shift);
      setMeasured((n) => n + 1);
    } else if (pin.current) {
      const { index, share } = pin.current;
      const top = clamp(tops[index] - share * box.current.clientHeight, box.current);
      if (Math.abs(top - box.current.scrollTop) > 1) put(top);
      else pin.current = null;
    }
    look();
  });

  const show = useCallback((index, share = 0.3) => {
    if (!box.current || index < 0 || index >= now.current.length - 1) return;
    pin.current = { index, share };
    put(now.current[index] - share * box.current.clientHeight);
    look();
  }, []);
  const visible = useCallback((index) => {
    if (!box.current) return true;
    const { scrollTop, clientHeight } = box.current;
    return now.current[index] >= scrollTop && now.current[index + 1] <= scrollTop + clientHeight;
  }, []);
  const first = Math.min(span.first, items.length);
  const last = Math.min(span.last, items.length);
  return { first, last, above: tops[first], below: tops[items.length] - tops[last], show, visible };
}

/** How many of the tops are at or above this pixel. */
function below(tops, pixel) {
  let low = 0;
  let high = tops.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle] <= pixel) low = middle + 1;
    else high = middle;
  }
  return low;
}

const clamp = (top, box) => Math.max(0, Math.min(top, box.scrollHeight - box.clientHeight));
