/* Loaded after htmx: switches off its inline style and its evaluation of code, which the CSP forbids. */
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
