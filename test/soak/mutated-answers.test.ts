import { describeMutatedAnswers } from "../contract/mutated-answers.js";

describeMutatedAnswers(5_000, 600_000);
