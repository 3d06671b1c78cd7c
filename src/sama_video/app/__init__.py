"""What people run: commands, server and page. The one room that prints, configures logging and exits."""
