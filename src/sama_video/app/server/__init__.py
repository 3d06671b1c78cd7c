"""The same conversations over HTTP: routers, the store of clips, the queue before the models. No model code here."""
