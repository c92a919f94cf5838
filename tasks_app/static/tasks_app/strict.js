/* Loaded after htmx: its indicator's inline style, and all it evaluates, stay out. */
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
