from gptoss_acp.cli import main

main()
