from xor.cli import main

main()
