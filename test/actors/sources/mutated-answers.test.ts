import { describeMutatedAnswers } from "../../contract/mutated-answers.js";

// The soak has 5,000.
describeMutatedAnswers(100, 60_000);
