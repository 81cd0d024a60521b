// Where the focus goes: into what opens to be typed in, and back to the button that opened it.

import { useEffect } from "../../lib/html.js";

/** `area`: ref of a textarea in an <li> whose button has the class "change". */
export function useEditorFocus(area) {
  useEffect(() => {
    const place = area.current.closest("li");
    area.current.focus();
    return () => {
      // Not when the reader has gone on to something else, or the line is out of view.
      if (place.isConnected && document.activeElement === document.body) place.querySelector("button.change")?.focus();
    };
  }, []);
}

/** Escape closes, Ctrl+Enter saves. */
export const editorKeys = (close, save) => (event) => {
  if (event.key === "Escape") close();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
  else return;
  event.preventDefault();
  event.stopPropagation();
};
