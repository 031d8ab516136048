// Texts to begin with, one of each kind that a corpus of Japanese holds. All written for this page.

import { words } from "./dom.js";

export const OPENINGS = [
  { name: words("物語", "A story"), text: "朝、窓を開けると、庭には一面に雪が積もっていた。" },
  { name: words("怪談", "A ghost story"), text: "　その古い宿には、誰も泊まらない部屋が一つあった。ある晩、旅の僧が戸を叩いて、" },
  { name: words("随筆", "An essay"), text: "　雨の音を聞きながら手紙を書くのが好きである。" },
  { name: words("対話", "A dialogue"), text: "「どこへ行くの」\n「海を見に行くんだ」\n「" },
  { name: words("百科", "An encyclopaedia"), text: "和紙（わし）は、日本で古くから作られてきた紙である。" },
  { name: words("報道", "A news report"), text: "【札幌】北海道の各地で二十日、この冬はじめての雪が降り、" },
];
