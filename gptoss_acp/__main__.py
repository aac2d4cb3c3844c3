from gptoss_acp.cli.main import main

main()
