// Prices as people write them, and as the smallest unit of their currency (cents for USD, satoshis for BTC and SATS).

const NO_DIGITS = new Set("SATS BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(" "));
const THREE_DIGITS = new Set("BHD IQD JOD KWD LYD OMR TND".split(" "));

function digits(currency) {
  if (NO_DIGITS.has(currency)) return 0;
  if (currency === "BTC" || currency === "LBTC") return 8;
  return THREE_DIGITS.has(currency) ? 3 : 2;
}

/** "5", "5.5", "5.50" USD -> 550. Throws an Error in words. */
export function toUnits(text, currency) {
  const places = digits(currency);
  const [, whole, part = ""] = /^(\d{1,9})(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined || part.length > places) {
    throw new Error(places ? `Write the amount with at most ${places} decimals, such as ${example(places)}.` : `${currency} has no decimals: write a whole number.`);
  }
  return Number(whole + part.padEnd(places, "0"));
}

const example = (places) => (5).toFixed(places);
